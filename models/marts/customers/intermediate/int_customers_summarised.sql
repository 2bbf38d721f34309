{% set period_days = var('churn_period_days') %}

with days as (

    select
        source_system,
        customer_key,
        orders,
        loyal_orders,
        net_sales_amount,
        refund_amount,
        activity_date
    from {{ ref('int_customer_days_summarised') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

windows as (

    select
        source_system,
        {{ add_days('as_of_date', -(period_days - 1)) }} as period_start,
        {{ add_days('as_of_date', -(2 * period_days - 1)) }} as previous_period_start,
        {{ start_of('year', 'as_of_date') }} as year_start,
        {{ start_of('year', add_days(start_of('year', 'as_of_date'), -1)) }} as previous_year_start,
        {{ year_earlier('as_of_date') }} as previous_year_end,
        as_of_date
    from as_of_dates

),

flagged as (

    select
        days.source_system,
        days.customer_key,
        days.orders,
        days.loyal_orders,
        days.net_sales_amount,
        days.refund_amount,
        days.activity_date >= windows.period_start as is_last_period,
        days.activity_date >= windows.previous_period_start
        and days.activity_date < windows.period_start as is_previous_period,
        days.activity_date >= windows.year_start as is_this_year,
        days.activity_date >= windows.previous_year_start
        and days.activity_date <= windows.previous_year_end as is_same_dates_last_year,
        days.activity_date,
        windows.as_of_date
    from days
    inner join windows
        on days.source_system = windows.source_system
    where days.activity_date <= windows.as_of_date

)

select
    source_system,

    customer_key,

    cast(sum(orders) as bigint) as orders,
    cast({{ count_when('orders > 0') }} as bigint) as order_dates,
    cast(sum(loyal_orders) as bigint) as loyal_orders,
    {{ sum_money('net_sales_amount') }} as net_sales_amount,
    {{ sum_money('refund_amount') }} as refund_amount,
    {{ sum_money('net_sales_amount - refund_amount') }} as lifetime_value_to_date,
    {{ sum_money_when('is_last_period', 'net_sales_amount') }} as spend_last_period,
    {{ sum_money_when('is_previous_period', 'net_sales_amount') }} as spend_previous_period,
    {{ sum_money_when('is_this_year', 'net_sales_amount') }} as spend_this_year,
    {{ sum_money_when('is_same_dates_last_year', 'net_sales_amount') }} as spend_same_dates_last_year,

    min(case when orders > 0 then activity_date end) as first_order_date,
    max(case when orders > 0 then activity_date end) as last_order_date,
    as_of_date
from flagged
group by
    source_system,
    customer_key,
    as_of_date
-- A refund can be dated before its order: without an order up to the as-of date there is no lifetime.
having sum(orders) > 0
