with customers as (

    select
        source_system,
        customer_key,
        {{ start_of('month', 'first_order_date') }} as cohort_month,
        {{ start_of('month', 'as_of_date') }} as as_of_month,
        as_of_date
    from {{ ref('int_customers_summarised') }}

),

days as (

    select
        customer_key,
        orders,
        net_sales_amount,
        refund_amount,
        activity_date,
        {{ start_of('month', 'activity_date') }} as activity_month
    from {{ ref('int_customer_days_summarised') }}

),

months as (

    select distinct month_start as activity_month
    from {{ ref('dim_date') }}

),

cohorts as (

    select
        source_system,
        cohort_month,
        as_of_month,
        count(*) as cohort_customers
    from customers
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

activity as (

    select
        customers.source_system,
        customers.cohort_month,
        days.activity_month,
        count(distinct case when days.orders > 0 then days.customer_key end) as active_customers,
        sum(days.net_sales_amount - days.refund_amount) as net_revenue
    from customers
    inner join days
        on customers.customer_key = days.customer_key
    where days.activity_date <= customers.as_of_date
    group by
        customers.source_system,
        customers.cohort_month,
        days.activity_month

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
