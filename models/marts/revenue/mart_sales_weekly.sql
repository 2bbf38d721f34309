{{ sales_by_period('week') }}
