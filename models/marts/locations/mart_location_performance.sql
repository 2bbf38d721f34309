{% set recent_days = 28 %}

with days as (

    select
        source_system,
        location_key,
        orders,
        net_sales,
        activity_date
    from {{ ref('int_order_groups_summarised') }}
    where
        orders > 0
        and location_id is not null

),

locations as (

    select
        location_key,
        location_id,
        location_name,
        region
    from {{ ref('dim_location') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

windowed as (

    select
        days.source_system,
        days.location_key,
        days.orders,
        days.net_sales,
        days.activity_date,
        {{ days_between('days.activity_date', 'as_of_dates.as_of_date') }} as days_ago,
        as_of_dates.as_of_date
    from days
    inner join as_of_dates
        on days.source_system = as_of_dates.source_system
    where days.activity_date <= as_of_dates.as_of_date

),

summarised as (

    select
        source_system,
        location_key,
        {{ sum_money('net_sales') }} as total_revenue,
        sum(orders) as orders,
        count(distinct activity_date) as trading_days,
        {{ sum_money_when('days_ago < ' ~ recent_days, 'net_sales') }} as revenue_last_28_days,
        {{ sum_money_when(
            'days_ago between ' ~ recent_days ~ ' and ' ~ (2 * recent_days - 1), 'net_sales'
        ) }} as revenue_previous_28_days,
        min(activity_date) as first_trading_date,
        max(activity_date) as last_trading_date,
        as_of_date
    from windowed
    group by
        source_system,
        location_key,
        as_of_date

),

compared as (

    select
        source_system,
        location_key,
        total_revenue,
        orders,
        trading_days,
        {{ days_between('first_trading_date', 'last_trading_date') }} + 1 as calendar_days,
        rank() over (partition by source_system order by total_revenue desc) as revenue_rank,
        sum(total_revenue) over (partition by source_system) as system_revenue,
        revenue_last_28_days,
        revenue_previous_28_days,
        first_trading_date,
        last_trading_date,
        as_of_date
    from summarised

)

select
    compared.location_key,
    locations.location_id,

    compared.source_system,
    locations.location_name,
    locations.region,

    compared.total_revenue,
    cast(compared.orders as bigint) as orders,
    {{ divide('compared.total_revenue', 'compared.orders') }} as average_order_value,
    cast(compared.trading_days as bigint) as trading_days,
    cast(compared.calendar_days as bigint) as calendar_days,
    {{ divide('compared.orders', 'compared.trading_days') }} as orders_per_trading_day,
    {{ divide('compared.orders * 7', 'compared.calendar_days') }} as orders_per_week,
    cast(compared.revenue_rank as bigint) as revenue_rank,
    {{ divide('compared.total_revenue', 'compared.system_revenue') }} as revenue_share,
    compared.revenue_last_28_days,
    compared.revenue_previous_28_days,
    {{ change_rate('compared.revenue_last_28_days', 'compared.revenue_previous_28_days') }}
        as revenue_change_rate,

    compared.first_trading_date,
    compared.last_trading_date,
    compared.as_of_date
from compared
left join locations
    on compared.location_key = locations.location_key
