with orders as (

    select
        source_system,
        case
            when customer_key is null then 'guest'
            when is_loyalty then 'loyal'
            else 'other'
        end as order_group,
        units,
        gross_amount,
        discount_amount,
        net_sales_amount,
        order_date
    from {{ ref('fct_orders') }}
    where is_booked

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

grouped as (

    select
        orders.source_system,
        orders.order_group,
        count(*) as orders,
        sum(orders.units) as units,
        sum(orders.gross_amount) as gross_revenue,
        sum(orders.discount_amount) as discounts,
        sum(orders.net_sales_amount) as net_sales
    from orders
    inner join as_of_dates
        on orders.source_system = as_of_dates.source_system
    where orders.order_date <= as_of_dates.as_of_date
    group by
        orders.source_system,
        orders.order_group

)

select
    source_system,
    order_group,

    cast(orders as bigint) as orders,
    cast(net_sales as numeric(38, 4)) as net_sales,
    {{ divide('net_sales', 'orders') }} as average_order_value,
    {{ divide('units', 'orders') }} as units_per_order,
    {{ divide('discounts', 'gross_revenue') }} as discount_rate
from grouped
