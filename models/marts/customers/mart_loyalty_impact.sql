with customers as (

    select
        source_system,
        customer_key,
        orders,
        net_sales_amount,
        lifetime_value_to_date
    from {{ ref('int_customers_summarised') }}

),

members as (

    select
        customer_key,
        is_loyalty_member
    from {{ ref('dim_customer') }}

),

grouped as (

    select
        customers.source_system,
        case when members.is_loyalty_member then 'member' else 'non_member' end as member_group,
        count(*) as customers,
        sum(case when customers.orders >= 2 then 1 else 0 end) as repeat_customers,
        sum(customers.orders) as orders,
        sum(customers.net_sales_amount) as net_sales,
        sum(customers.lifetime_value_to_date) as lifetime_value
    from customers
    left join members
        on customers.customer_key = members.customer_key
    group by
        customers.source_system,
        case when members.is_loyalty_member then 'member' else 'non_member' end

),

shares as (

    select
        source_system,
        member_group,
        customers,
        repeat_customers,
        orders,
        net_sales,
        lifetime_value,
        sum(net_sales) over (partition by source_system) as total_net_sales
    from grouped

)

select
    source_system,
    member_group,

    cast(customers as bigint) as customers,
    cast(orders as bigint) as orders,
    cast(net_sales as numeric(38, 4)) as net_sales,
    {{ divide('net_sales', 'customers') }} as average_spend_per_customer,
    {{ divide('net_sales', 'orders') }} as average_order_value,
    {{ divide('repeat_customers', 'customers') }} as repeat_rate,
    {{ divide('orders', 'customers') }} as orders_per_customer,
    {{ divide('lifetime_value', 'customers') }} as average_lifetime_value,
    {{ divide('net_sales', 'total_net_sales') }} as revenue_share
from shares
