-- Discounted and full-price orders together are all booked orders of the location's month, margin included.
with daily as (

    select
        location_key,
        {{ start_of('month', 'revenue_date') }} as month_start,
        sum(orders) as orders,
        sum(gross_revenue) as gross_revenue,
        sum(discounts) as discounts,
        sum(net_sales) as net_sales,
        sum(net_sales_with_cost - cost - refunds_with_cost) as gross_margin
    from {{ ref('fct_revenue_daily') }}
    group by
        location_key,
        {{ start_of('month', 'revenue_date') }}

),

monthly as (

    select
        location_key,
        month_start,
        sum(orders) as orders,
        sum(gross_revenue) as gross_revenue,
        sum(discounts) as discounts,
        sum(net_sales) as net_sales,
        sum(coalesce(gross_margin, 0)) as gross_margin
    from {{ ref('mart_discount_effectiveness') }}
    group by
        location_key,
        month_start

)

select
    coalesce(daily.location_key, monthly.location_key) as location_key,
    coalesce(daily.month_start, monthly.month_start) as month_start
from daily
full outer join monthly
    on
        daily.location_key = monthly.location_key
        and daily.month_start = monthly.month_start
where
    coalesce(daily.orders, 0) <> coalesce(monthly.orders, 0)
    or coalesce(daily.gross_revenue, 0) <> coalesce(monthly.gross_revenue, 0)
    or coalesce(daily.discounts, 0) <> coalesce(monthly.discounts, 0)
    or coalesce(daily.net_sales, 0) <> coalesce(monthly.net_sales, 0)
    or coalesce(daily.gross_margin, 0) <> coalesce(monthly.gross_margin, 0)
