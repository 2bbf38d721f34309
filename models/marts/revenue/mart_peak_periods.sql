{% set period_days = var('peak_period_days') %}

with as_of_dates as (

    select
        source_system,
        as_of_date,
        {{ add_days('as_of_date', 1 - period_days) }} as first_date
    from {{ ref('int_orders_as_of_dates') }}

),

orders as (

    select
        source_system,
        location_key,
        net_sales_amount,
        order_date,
        {{ iso_day_of_week('order_date') }} as iso_weekday,
        {{ hour_of('ordered_at_local') }} as local_hour
    from {{ ref('fct_orders') }}
    where is_booked

),

hours as (

    select
        orders.source_system,
        orders.location_key,
        orders.iso_weekday,
        orders.local_hour,
        as_of_dates.first_date,
        as_of_dates.as_of_date,
        count(*) as orders,
        {{ sum_money('orders.net_sales_amount') }} as net_sales
    from orders
    inner join as_of_dates
        on
            orders.source_system = as_of_dates.source_system
            and orders.order_date between as_of_dates.first_date and as_of_dates.as_of_date
    group by
        orders.source_system,
        orders.location_key,
        orders.iso_weekday,
        orders.local_hour,
        as_of_dates.first_date,
        as_of_dates.as_of_date

),

-- How often the weekday stands in the window, whether or not the location traded on it: whole weeks, and one
-- more where the weekday is among the days left over, which begin on the window's first day.
counted as (

    select
        *,
        {{ period_days // 7 }}
        + case
            when mod(iso_weekday - {{ iso_day_of_week('first_date') }} + 7, 7) < {{ period_days % 7 }} then 1
            else 0
        end as days_in_window
    from hours

),

averaged as (

    select
        source_system,
        location_key,
        iso_weekday,
        local_hour,
        orders,
        net_sales,
        days_in_window,
        {{ divide('orders', 'days_in_window') }} as average_orders,
        {{ divide('net_sales', 'days_in_window') }} as average_net_sales,
        as_of_date
    from counted

)

select
    {{ surrogate_key(['source_system', 'location_key', 'iso_weekday', 'local_hour']) }} as peak_period_key,
    location_key,

    source_system,

    cast(iso_weekday as integer) as iso_weekday,
    cast(local_hour as integer) as hour,
    cast(orders as bigint) as orders,
    cast(net_sales as numeric(38, 4)) as net_sales,
    cast(days_in_window as bigint) as days_in_window,
    average_orders,
    average_net_sales,
    cast(rank() over (partition by location_key order by average_orders desc) as bigint) as peak_rank,

    as_of_date
from averaged
