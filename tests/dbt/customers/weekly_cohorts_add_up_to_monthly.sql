-- The same customers, grouped by week or by month, give the same totals per horizon.
with monthly as (

    select
        source_system,
        horizon_days,
        sum(cohort_customers) as cohort_customers,
        sum(mature_customers) as mature_customers,
        sum(retained_customers) as retained_customers,
        sum(ltv_total) as ltv_total
    from {{ ref('fct_cohort_ltv') }}
    group by
        source_system,
        horizon_days

),

weekly as (

    select
        source_system,
        horizon_days,
        sum(cohort_customers) as cohort_customers,
        sum(mature_customers) as mature_customers,
        sum(retained_customers) as retained_customers,
        sum(ltv_total) as ltv_total
    from {{ ref('fct_cohort_ltv_weekly') }}
    group by
        source_system,
        horizon_days

)

select
    coalesce(monthly.source_system, weekly.source_system) as source_system,
    coalesce(monthly.horizon_days, weekly.horizon_days) as horizon_days
from monthly
full outer join weekly
    on
        monthly.source_system = weekly.source_system
        and monthly.horizon_days = weekly.horizon_days
where
    monthly.source_system is null
    or weekly.source_system is null
    or monthly.cohort_customers <> weekly.cohort_customers
    or monthly.mature_customers <> weekly.mature_customers
    or monthly.retained_customers <> weekly.retained_customers
    or monthly.ltv_total <> weekly.ltv_total
