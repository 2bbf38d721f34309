-- A day and currency without a rate leaves amounts empty: the run stops, and says which rate to add to fx_rates.
select
    currency,
    min(order_date) as first_order_date,
    max(order_date) as last_order_date,
    count(*) as order_lines
from {{ ref('fct_order_items') }}
where
    not has_missing_header
    and exchange_rate is null
group by currency

union all

select
    currency,
    min(order_date) as first_order_date,
    max(order_date) as last_order_date,
    count(*) as order_lines
from {{ ref('fct_orders') }}
where exchange_rate is null
group by currency
