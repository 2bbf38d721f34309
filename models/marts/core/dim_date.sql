with calendar as (

    select
        date_day,
        is_holiday,
        holiday_name
    from {{ ref('stg_restaurant__date_dim') }}

),

ranges as (

    select
        min(date_day) as first_date,
        max(date_day) as last_date
    from calendar

    union all

    select
        min(order_date) as first_date,
        max(order_date) as last_date
    from {{ ref('int_orders_united') }}

    union all

    select
        min(return_date) as first_date,
        max(return_date) as last_date
    from {{ ref('stg_store__returns') }}

    union all

    select
        min(snapshot_date) as first_date,
        max(snapshot_date) as last_date
    from {{ ref('stg_store__inventory') }}

    union all

    select
        min(signup_date) as first_date,
        max(signup_date) as last_date
    from {{ ref('stg_store__customers') }}

    union all

    select
        min(payment_date) as first_date,
        max(payment_date) as last_date
    from {{ ref('stg_store__payments') }}

    union all

    -- An as-of date that was asked for may lie after everything delivered; cohorts are shown up to its month.
    select
        min(as_of_date) as first_date,
        max(as_of_date) as last_date
    from {{ ref('int_orders_as_of_dates') }}

),

bounds as (

    select
        min(first_date) as first_date,
        max(last_date) as last_date
    from ranges

),

days as (

    {{ date_series('first_date', 'last_date', 'bounds') | indent(4) }}

)

select
    cast(extract(year from days.date_day) as integer) as year,
    cast(extract(quarter from days.date_day) as integer) as quarter,
    cast(extract(month from days.date_day) as integer) as month,
    {{ iso_year('days.date_day') }} as iso_year,
    {{ iso_week('days.date_day') }} as iso_week,
    {{ iso_day_of_week('days.date_day') }} as day_of_week,

    calendar.holiday_name,

    {{ iso_day_of_week('days.date_day') }} >= 6 as is_weekend,
    coalesce(calendar.is_holiday, false) as is_holiday,

    days.date_day,
    {{ start_of('week', 'days.date_day') }} as week_start,
    {{ start_of('month', 'days.date_day') }} as month_start
from days
left join calendar
    on days.date_day = calendar.date_day
