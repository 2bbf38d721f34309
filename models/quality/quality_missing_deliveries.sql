with locations as (

    select
        location_key,
        location_id,
        source_system,
        location_name,
        first_trading_date,
        last_trading_date
    from {{ ref('mart_location_performance') }}

),

dates as (

    select
        date_day,
        is_weekend,
        is_holiday
    from {{ ref('dim_date') }}

),

delivered as (

    select
        location_key,
        revenue_date as order_date
    from {{ ref('fct_revenue_daily') }}
    where orders_placed > 0

)

select
    locations.location_key,
    locations.location_id,

    locations.source_system,
    locations.location_name,

    dates.is_weekend,
    dates.is_holiday,

    dates.date_day as missing_date
from locations
inner join dates
    on dates.date_day between locations.first_trading_date and locations.last_trading_date
left join delivered
    on
        locations.location_key = delivered.location_key
        and dates.date_day = delivered.order_date
where delivered.location_key is null
