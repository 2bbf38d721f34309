with days as (

    select
        source_system,
        new_customers,
        month_active_customers,
        net_sales_amount,
        refund_amount,
        activity_date,
        {{ start_of('month', 'activity_date') }} as activity_month,
        cohort_date,
        {{ start_of('month', 'cohort_date') }} as cohort_month
    from {{ ref('int_cohort_days_summarised') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date,
        {{ start_of('month', 'as_of_date') }} as as_of_month
    from {{ ref('int_orders_as_of_dates') }}

),

months as (

    select distinct month_start as activity_month
    from {{ ref('dim_date') }}

),

activity as (

    select
        days.source_system,
        days.cohort_month,
        days.activity_month,
        as_of_dates.as_of_month,
        sum(days.new_customers) as new_customers,
        sum(days.month_active_customers) as active_customers,
        sum(days.net_sales_amount - days.refund_amount) as net_revenue
    from days
    inner join as_of_dates
        on days.source_system = as_of_dates.source_system
    where
        days.activity_date <= as_of_dates.as_of_date
        -- A refund can be dated before its order: without an order up to the as-of date there is no cohort.
        and days.cohort_date <= as_of_dates.as_of_date
    group by
        days.source_system,
        days.cohort_month,
        days.activity_month,
        as_of_dates.as_of_month

),

cohorts as (

    select
        source_system,
        cohort_month,
        as_of_month,
        sum(new_customers) as cohort_customers
    from activity
    group by
        source_system,
        cohort_month,
        as_of_month

),

-- Every month up to the as-of date's, also those in which nobody of the cohort came.
cells as (

    select
        cohorts.source_system,
        cohorts.cohort_month,
        months.activity_month,
        cohorts.cohort_customers
    from cohorts
    inner join months
        on months.activity_month between cohorts.cohort_month and cohorts.as_of_month

),

triangle as (

    select
        cells.source_system,
        cells.cohort_month,
        cells.activity_month,
        cells.cohort_customers,
        coalesce(activity.active_customers, 0) as active_customers,
        coalesce(activity.net_revenue, 0) as net_revenue,
        sum(coalesce(activity.net_revenue, 0)) over (
            partition by cells.source_system, cells.cohort_month
            order by cells.activity_month
            rows between unbounded preceding and current row
        ) as cumulative_net_revenue
    from cells
    left join activity
        on
            cells.source_system = activity.source_system
            and cells.cohort_month = activity.cohort_month
            and cells.activity_month = activity.activity_month

)

select
    source_system,

    {{ months_between('cohort_month', 'activity_month') }} as month_number,
    cast(cohort_customers as bigint) as cohort_customers,
    cast(active_customers as bigint) as active_customers,
    {{ divide('active_customers', 'cohort_customers') }} as retention_rate,
    cast(net_revenue as numeric(38, 4)) as net_revenue,
    {{ divide('cumulative_net_revenue', 'cohort_customers') }} as cumulative_net_revenue_per_customer,

    cast(cohort_month as date) as cohort_month
from triangle
