with customers as (

    select
        source_system,
        customer_key,
        orders,
        net_sales_amount,
        refund_amount,
        lifetime_value_to_date,
        first_order_date,
        last_order_date,
        as_of_date
    from {{ ref('int_customers_summarised') }}

),

scores as (

    select
        customer_key,
        m_score
    from {{ ref('int_customers_scored') }}

)

select
    customers.customer_key,

    customers.source_system,
    case
        when scores.m_score = 5 then 'High'
        when scores.m_score = 1 then 'Low'
        else 'Medium'
    end as clv_tier,

    customers.lifetime_value_to_date,
    customers.net_sales_amount as net_sales,
    customers.refund_amount as refunds,
    customers.orders,
    {{ divide('customers.net_sales_amount', 'customers.orders') }} as average_order_value,
    {{ days_between('customers.first_order_date', 'customers.last_order_date') }} as lifespan_days,
    scores.m_score as clv_score,

    customers.first_order_date,
    customers.last_order_date,
    customers.as_of_date
from customers
inner join scores
    on customers.customer_key = scores.customer_key
