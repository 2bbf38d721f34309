with days as (

    select
        source_system,
        order_group,
        orders,
        units,
        gross_revenue,
        discounts,
        net_sales,
        activity_date
    from {{ ref('int_order_groups_summarised') }}
    where orders > 0

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

grouped as (

    select
        days.source_system,
        days.order_group,
        sum(days.orders) as orders,
        sum(days.units) as units,
        sum(days.gross_revenue) as gross_revenue,
        sum(days.discounts) as discounts,
        sum(days.net_sales) as net_sales
    from days
    inner join as_of_dates
        on days.source_system = as_of_dates.source_system
    where days.activity_date <= as_of_dates.as_of_date
    group by
        days.source_system,
        days.order_group

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
