{{ config(tags=['weekly']) }}

-- The last cumulative value of all cohorts is the lifetime value of all customers: no month is left out.
with triangle as (

    select
        source_system,
        sum(net_revenue) as amount
    from {{ ref('mart_cohort_triangle') }}
    group by source_system

),

-- A refund dated before the month of the first order, if dirt brings one, has no place in a triangle.
lifetimes as (

    select
        customers.source_system,
        sum(days.net_sales_amount - days.refund_amount) as amount
    from {{ ref('int_customers_scored') }} as customers
    inner join {{ ref('int_customer_days_summarised') }} as days
        on customers.customer_key = days.customer_key
    where
        days.activity_date >= {{ start_of('month', 'customers.first_order_date') }}
        and days.activity_date <= customers.as_of_date
    group by customers.source_system

)

select
    coalesce(triangle.source_system, lifetimes.source_system) as source_system,
    triangle.amount as triangle_amount,
    lifetimes.amount as lifetime_amount
from triangle
full outer join lifetimes
    on triangle.source_system = lifetimes.source_system
where coalesce(triangle.amount, 0) <> coalesce(lifetimes.amount, 0)
