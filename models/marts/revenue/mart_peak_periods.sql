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
        {{ iso_day_of_week('order_date') }} as day_of_week,
        {{ hour_of('ordered_at_local') }} as local_hour
    from {{ ref('fct_orders') }}
    where is_booked

),

hours as (

    select
        orders.source_system,
        orders.location_key,
        orders.day_of_week,
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
        orders.day_of_week,
        orders.local_hour,
        as_of_dates.first_date,
        as_of_dates.as_of_date

),

-- How often the weekday stands in the window, whether or not the location traded on it: whole weeks, and one more
-- where the weekday is among the days left over, which begin on the window's first day.
counted as (

    select
        *,
        {{ period_days // 7 }}
        + case
            when mod(day_of_week - {{ iso_day_of_week('first_date') }} + 7, 7) < {{ period_days % 7 }} then 1
            else 0
        end as days_in_window
    from hours

)

select
    {{ surrogate_key(['source_system', 'location_key', 'day_of_week', 'local_hour']) }} as peak_period_key,
    location_key,

    source_system,

    cast(day_of_week as integer) as day_of_week,
    cast(local_hour as integer) as local_hour,
    cast(orders as bigint) as orders,
    cast(net_sales as numeric(38, 4)) as net_sales,
    cast(days_in_window as bigint) as days_in_window,
    {{ divide('orders', 'days_in_window') }} as average_orders,
    {{ divide('net_sales', 'days_in_window') }} as average_net_sales,
    cast(rank() over (partition by location_key order by orders desc, net_sales desc) as bigint) as peak_rank,

    as_of_date
from counted
