{{ sales_by_period('month') }}
