{{ config(materialized='view', meta={'rows_of': 'int_customers_summarised'}) }}

-- A view: every row tells the as-of date, so a table would be written whole each day, and three marts more after it.
select
    customers.source_system,

    customers.customer_key,

    {{ score_reached('r', 'customers.last_order_date') }} as r_score,
    {{ score_reached('f', 'customers.orders') }} as f_score,
    {{ score_reached('m', 'customers.lifetime_value_to_date') }} as m_score,
    customers.orders,
    customers.order_dates,
    customers.net_sales_amount,
    customers.refund_amount,
    customers.lifetime_value_to_date,
    customers.spend_last_period,
    customers.spend_previous_period,
    customers.spend_this_year,
    customers.spend_same_dates_last_year,

    customers.orders = 1 as is_single_order,

    customers.first_order_date,
    customers.last_order_date,
    as_of_dates.as_of_date
from {{ ref('int_customers_summarised') }} as customers
inner join {{ ref('int_scores_bounded') }} as bounds
    on customers.source_system = bounds.source_system
inner join {{ ref('int_orders_as_of_dates') }} as as_of_dates
    on customers.source_system = as_of_dates.source_system
