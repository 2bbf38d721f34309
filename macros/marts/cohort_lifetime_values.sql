{% macro cohort_lifetime_values(cohort) -%}
with customers as (

    select
        source_system,
        horizon_days,
        lifetime_value,
        is_mature,
        is_retained,
        {{ cohort }}
    from {{ ref('int_customer_horizons_measured') }}

),

cohorts as (

    select
        source_system,
        horizon_days,
        {{ cohort }},
        count(*) as cohort_customers,
        sum(case when is_mature then 1 else 0 end) as mature_customers,
        sum(case when is_mature and is_retained then 1 else 0 end) as retained_customers,
        sum(case when is_mature then lifetime_value else 0 end) as ltv_total
    from customers
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
