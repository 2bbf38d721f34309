-- Location performance and daily revenue are two roads to one figure.
with daily as (

    select
        revenue.location_key,
        sum(revenue.net_sales) as net_sales,
        sum(revenue.orders) as orders
    from {{ ref('fct_revenue_daily') }} as revenue
    inner join {{ ref('dim_location') }} as locations
        on revenue.location_key = locations.location_key
    inner join {{ ref('int_orders_as_of_dates') }} as as_of_dates
        on revenue.source_system = as_of_dates.source_system
    where
        revenue.revenue_date <= as_of_dates.as_of_date
        and locations.location_id is not null
    group by revenue.location_key
    having sum(revenue.orders) > 0

)

select
    coalesce(daily.location_key, performance.location_key) as location_key,
    daily.net_sales,
    performance.total_revenue,
    daily.orders as orders_by_day,
    performance.orders
from daily
full outer join {{ ref('mart_location_performance') }} as performance
    on daily.location_key = performance.location_key
where
    daily.location_key is null
    or performance.location_key is null
    or daily.net_sales <> performance.total_revenue
    or daily.orders <> performance.orders
