{% set tables = ['fct_sales_daily', 'fct_revenue_daily'] %}

-- Sales by category and day part add up to the revenue of the same day and location, and weeks and months to the days.
with by_day as (

    select
        source_system,
        location_key,
        sales_date,
        {{ sum_money('gross_revenue') }} as gross_revenue,
        {{ sum_money('discounts') }} as discounts,
        {{ sum_money('units') }} as units
    from {{ ref('fct_sales_daily') }}
    where {{ is_day_to_check(tables, 'sales_date') }}
    group by
        source_system,
        location_key,
        sales_date

),

revenue as (

    select
        source_system,
        location_key,
        revenue_date,
        gross_revenue,
        discounts,
        units
    from {{ ref('fct_revenue_daily') }}
    where {{ is_day_to_check(tables, 'revenue_date') }}

),

broken_days as (

    select
        'fct_revenue_daily' as compared_with,
        cast(coalesce(revenue.revenue_date, by_day.sales_date) as {{ text_type() }}) as period
    from revenue
    full outer join by_day
        on
            revenue.source_system = by_day.source_system
            and revenue.location_key = by_day.location_key
            and revenue.revenue_date = by_day.sales_date
    where
        coalesce(revenue.gross_revenue, 0) <> coalesce(by_day.gross_revenue, 0)
        or coalesce(revenue.discounts, 0) <> coalesce(by_day.discounts, 0)
        or coalesce(revenue.units, 0) <> coalesce(by_day.units, 0)

),

totals as (

    select
        (select sum(net_sales) from {{ ref('fct_sales_daily') }}) as daily,
        (select sum(net_sales) from {{ ref('mart_sales_weekly') }}) as weekly,
        (select sum(net_sales) from {{ ref('mart_sales_monthly') }}) as monthly

),

broken_totals as (

    select
        'mart_sales_weekly and mart_sales_monthly' as compared_with,
        'all' as period
    from totals
    where
        daily <> weekly
        or daily <> monthly

)

select * from broken_days
union all
select * from broken_totals
