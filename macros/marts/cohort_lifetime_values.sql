{# Days after the first order date, ascending. #}
{% macro cohort_horizons() -%}
    {{ return([7, 30, 90]) }}
{%- endmacro %}

{% macro cohort_lifetime_values(cohort, period) -%}
with days as (

    select
        source_system,
        new_customers,
        returning_customers,
        net_sales_amount - refund_amount as net_revenue,
        cohort_date,
        {{ days_between('cohort_date', 'activity_date') }} as day_number
    from {{ ref('int_cohort_days_summarised') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

horizons as (

    {% for horizon in cohort_horizons() %}
        select {{ horizon }} as horizon_days
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- All customers of a date are mature on the same day, and then all days of the horizon are observed.
dates as (

    select
        days.source_system,
        horizons.horizon_days,
        sum(days.new_customers) as customers,
        -- Who has a second order date within the horizon has one such day; a second order on the first day is no return.
        sum(days.returning_customers) as retained_customers,
        sum(days.net_revenue) as lifetime_value,
        {{ add_days('days.cohort_date', 'horizons.horizon_days') }} <= as_of_dates.as_of_date as is_mature,
        {{ start_of(period, 'days.cohort_date') }} as {{ cohort }}
    from days
    inner join horizons
        on days.day_number between 0 and horizons.horizon_days
    inner join as_of_dates
        on days.source_system = as_of_dates.source_system
    where days.cohort_date <= as_of_dates.as_of_date
    group by
        days.source_system,
        days.cohort_date,
        horizons.horizon_days,
        as_of_dates.as_of_date

),

cohorts as (

    select
        source_system,
        horizon_days,
        {{ cohort }},
        sum(customers) as cohort_customers,
        sum(case when is_mature then customers else 0 end) as mature_customers,
        sum(case when is_mature then retained_customers else 0 end) as retained_customers,
        sum(case when is_mature then lifetime_value else 0 end) as ltv_total
    from dates
    group by
        source_system,
        horizon_days,
        {{ cohort }}

)

select
    source_system,

    cast(horizon_days as integer) as horizon_days,
    cast(cohort_customers as bigint) as cohort_customers,
    cast(mature_customers as bigint) as mature_customers,
    cast(retained_customers as bigint) as retained_customers,
    {{ divide('retained_customers', 'mature_customers') }} as retention_rate,
    cast(ltv_total as numeric(38, 4)) as ltv_total,
    {{ divide('ltv_total', 'mature_customers') }} as ltv_per_customer,

    cast({{ cohort }} as date) as {{ cohort }}
from cohorts
{%- endmacro %}
