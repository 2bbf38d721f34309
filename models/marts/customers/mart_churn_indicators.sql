{{ config(materialized='view', meta={'rows_of': 'int_customers_summarised'}) }}

with customers as (

    select
        source_system,
        customer_key,
        order_dates,
        spend_last_period,
        spend_previous_period,
        spend_this_year,
        spend_same_dates_last_year,
        {{ days_between('last_order_date', 'as_of_date') }} as days_since_last_order,
        {{ days_between('first_order_date', 'last_order_date') }} as lifespan_days,
        first_order_date,
        last_order_date,
        as_of_date
    from {{ ref('int_customers_scored') }}

)

select
    customer_key,

    source_system,
    case
        when days_since_last_order > {{ var('lapsed_days') }} then 'lapsed'
        when days_since_last_order > {{ var('at_risk_days') }} then 'slowing'
        else 'active'
    end as activity_status,

    days_since_last_order,
    {{ divide('lifespan_days', 'order_dates - 1') }} as average_days_between_orders,
    spend_last_period,
    spend_previous_period,
    {{ change_rate('spend_last_period', 'spend_previous_period') }} as spend_change_rate,
    {{ change_rate('spend_this_year', 'spend_same_dates_last_year') }} as yoy_spend_change_rate,
    -- days since ÷ average gap, written as one division of two exact numbers.
    {{ divide('days_since_last_order * (order_dates - 1)', 'lifespan_days') }} as overdue_ratio,

    days_since_last_order > {{ var('at_risk_days') }} as is_at_risk,

    last_order_date,
    as_of_date
from customers
