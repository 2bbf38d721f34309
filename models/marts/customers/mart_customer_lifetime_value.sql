{{ config(materialized='view', meta={'rows_of': 'int_customers_summarised'}) }}

with customers as (

    select
        source_system,
        customer_key,
        orders,
        m_score,
        net_sales_amount,
        refund_amount,
        lifetime_value_to_date,
        first_order_date,
        last_order_date,
        as_of_date
    from {{ ref('int_customers_scored') }}

)

select
    customer_key,

    source_system,
    case
        when m_score = 5 then 'High'
        when m_score = 1 then 'Low'
        else 'Medium'
    end as clv_tier,

    lifetime_value_to_date,
    net_sales_amount as net_sales,
    refund_amount as refunds,
    orders,
    {{ divide('net_sales_amount', 'orders') }} as average_order_value,
    {{ days_between('first_order_date', 'last_order_date') }} as lifespan_days,
    m_score as clv_score,

    first_order_date,
    last_order_date,
    as_of_date
from customers
