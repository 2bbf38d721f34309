{% set touched -%}{% raw %}
    {{ changed_keys(
        ['int_customer_days_summarised'],
        {'source_system': 'source_system', 'day': 'activity_date'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['activity_date', 'source_system', 'cohort_date'],
    scope=['source_system', 'activity_date'],
    touched=touched
)) }}

{#- The longest horizon of cohort_lifetime_values: beyond it only the month of the first order is asked for. -#}
{% set last_horizon = cohort_horizons() | last %}

-- Sums of customers that stay true when days, cohorts or months are added up, since a customer has one first order
-- day in a period. Not cut at the as-of date, like the customers' days.
with days as (

    select
        source_system,
        orders > 0 as has_order,
        net_sales_amount,
        refund_amount,
        activity_date,
        first_order_date,
        previous_order_date,
        {{ start_of('week', 'activity_date') }} as week_start,
        {{ start_of('month', 'activity_date') }} as month_start
    from {{ only_touched(ref('int_customer_days_summarised')) }}
    -- Without an order there is no cohort.
    where first_order_date is not null

),

flagged as (

    select
        source_system,
        has_order,
        net_sales_amount,
        refund_amount,
        has_order and previous_order_date is null as is_new,
        has_order and coalesce(previous_order_date < week_start, true) as is_first_of_week,
        has_order and coalesce(previous_order_date < month_start, true) as is_first_of_month,
        has_order and coalesce(previous_order_date = {{ add_days('activity_date', -1) }}, false) as is_retained_by_day,
        has_order and coalesce(
            previous_order_date < week_start
            and previous_order_date >= {{ add_days('week_start', -7) }},
            false
        ) as is_retained_by_week,
        has_order and coalesce(
            previous_order_date < month_start
            and previous_order_date >= {{ start_of('month', add_days('month_start', -1)) }},
            false
        ) as is_retained_by_month,
        has_order and coalesce(previous_order_date = first_order_date, false) as is_second_order_date,
        activity_date,
        case
            when {{ days_between('first_order_date', 'activity_date') }} <= {{ last_horizon }} then first_order_date
            else {{ start_of('month', 'first_order_date') }}
        end as cohort_date
    from days

)

select
    source_system,

    cast({{ count_when('has_order') }} as bigint) as active_customers,
    cast({{ count_when('is_new') }} as bigint) as new_customers,
    cast({{ count_when('is_first_of_week') }} as bigint) as week_active_customers,
    cast({{ count_when('is_first_of_month') }} as bigint) as month_active_customers,
    cast({{ count_when('is_retained_by_day') }} as bigint) as day_retained_customers,
    cast({{ count_when('is_retained_by_week') }} as bigint) as week_retained_customers,
    cast({{ count_when('is_retained_by_month') }} as bigint) as month_retained_customers,
    cast({{ count_when('is_second_order_date') }} as bigint) as returning_customers,
    {{ sum_money('net_sales_amount') }} as net_sales_amount,
    {{ sum_money('refund_amount') }} as refund_amount,

    activity_date,
    cohort_date
from flagged
group by
    source_system,
    activity_date,
    cohort_date
