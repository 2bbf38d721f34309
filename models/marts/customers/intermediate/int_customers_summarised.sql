{% set touched -%}{% raw %}
    {{ changed_keys(['int_customer_days_summarised'], {'customer_key': 'customer_key'}) }}
    union all
    select days.customer_key
    from {{ ref('int_customer_days_summarised') }} as days
    inner join (
        select
            source_system,
            key as boundary,
            min(day) as first_day,
            max(day) as last_day
        from {{ changes(ref('int_spend_windows_bounded')) }} as boundaries
        group by
            source_system,
            key
    ) as moved
        on
            days.source_system = moved.source_system
            and days.activity_date between moved.first_day and moved.last_day
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['customer_key'],
    scope=['customer_key'],
    emits={'key': 'customer_key'},
    touched=touched
)) }}

-- No column tells the as-of date or counts from it: each row would change every day.
with days as (

    select
        source_system,
        customer_key,
        orders,
        loyal_orders,
        net_sales_amount,
        refund_amount,
        activity_date
    from {{ only_touched(ref('int_customer_days_summarised')) }}

),

boundaries as (

    select
        source_system,
        boundary,
        boundary_date
    from {{ ref('int_spend_windows_bounded') }}

),

windows as (

    select
        source_system,
        max(case when boundary = 'as_of' then boundary_date end) as as_of_date,
        max(case when boundary = 'period_start' then boundary_date end) as period_start,
        max(case when boundary = 'previous_period_start' then boundary_date end) as previous_period_start,
        max(case when boundary = 'year_start' then boundary_date end) as year_start,
        max(case when boundary = 'previous_year_start' then boundary_date end) as previous_year_start,
        max(case when boundary = 'previous_year_end' then boundary_date end) as previous_year_end
    from boundaries
    group by source_system

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
        days.activity_date
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
    max(case when orders > 0 then activity_date end) as last_order_date
from flagged
group by
    source_system,
    customer_key
-- A refund can be dated before its order: without an order up to the as-of date there is no lifetime.
having sum(orders) > 0
