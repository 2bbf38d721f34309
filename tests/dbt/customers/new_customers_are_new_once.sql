-- A customer is new in one day, one week and one month: the three period types add up to the same number.
with totals as (

    select
        source_system,
        sum(case when period_type = 'day' then new_customers else 0 end) as by_day,
        sum(case when period_type = 'week' then new_customers else 0 end) as by_week,
        sum(case when period_type = 'month' then new_customers else 0 end) as by_month
    from {{ ref('fct_customer_metrics') }}
    group by source_system

)

select
    source_system,
    by_day,
    by_week,
    by_month
from totals
where
    by_day <> by_week
    or by_day <> by_month
