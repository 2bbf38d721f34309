{% set tables = ['fct_order_items', 'fct_orders', 'fct_returns', 'fct_revenue_daily'] %}

-- Lines, orders and daily revenue tell the same money of every day, exactly: what was sold on the day of the order, and
-- refunds on the day of the return. Lines count that are booked.
with lines as (

    select
        source_system,
        order_date as day,
        {{ sum_money('gross_amount') }} as gross,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales,
        {{ sum_money('quantity') }} as units
    from {{ ref('fct_order_items') }}
    where
        is_booked
        and {{ is_day_to_check(tables, 'order_date') }}
    group by
        source_system,
        order_date

),

refunds as (

    select
        source_system,
        return_date as day,
        {{ sum_money('eligible_refund_amount') }} as refunds
    from {{ ref('fct_returns') }}
    where {{ is_day_to_check(tables, 'return_date') }}
    group by
        source_system,
        return_date

),

orders as (

    select
        source_system,
        order_date as day,
        {{ sum_money('gross_amount') }} as gross,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales,
        {{ sum_money('units') }} as units
    from {{ ref('fct_orders') }}
    where
        is_booked
        and {{ is_day_to_check(tables, 'order_date') }}
    group by
        source_system,
        order_date

),

daily as (

    select
        source_system,
        revenue_date as day,
        {{ sum_money('gross_revenue') }} as gross,
        {{ sum_money('discounts') }} as discounts,
        {{ sum_money('net_sales') }} as net_sales,
        {{ sum_money('units') }} as units,
        {{ sum_money('refunds') }} as refunds,
        {{ sum_money('net_revenue') }} as net_revenue
    from {{ ref('fct_revenue_daily') }}
    where {{ is_day_to_check(tables, 'revenue_date') }}
    group by
        source_system,
        revenue_date

),

days as (

    select
        source_system,
        day
    from lines
    union
    select
        source_system,
        day
    from refunds
    union
    select
        source_system,
        day
    from orders
    union
    select
        source_system,
        day
    from daily

)

select
    days.source_system,
    days.day,
    lines.net_sales as line_net_sales,
    orders.net_sales as order_net_sales,
    daily.net_sales as daily_net_sales,
    refunds.refunds as return_refunds,
    daily.refunds as daily_refunds
from days
left join lines
    on days.source_system = lines.source_system and days.day = lines.day
left join orders
    on days.source_system = orders.source_system and days.day = orders.day
left join refunds
    on days.source_system = refunds.source_system and days.day = refunds.day
left join daily
    on days.source_system = daily.source_system and days.day = daily.day
where
    not coalesce(
        coalesce(lines.gross, 0) = coalesce(orders.gross, 0)
        and coalesce(lines.discounts, 0) = coalesce(orders.discounts, 0)
        and coalesce(lines.net_sales, 0) = coalesce(orders.net_sales, 0)
        and coalesce(lines.units, 0) = coalesce(orders.units, 0)
        and coalesce(orders.gross, 0) = coalesce(daily.gross, 0)
        and coalesce(orders.discounts, 0) = coalesce(daily.discounts, 0)
        and coalesce(orders.net_sales, 0) = coalesce(daily.net_sales, 0)
        and coalesce(orders.units, 0) = coalesce(daily.units, 0)
        and coalesce(refunds.refunds, 0) = coalesce(daily.refunds, 0)
        and coalesce(daily.net_revenue, 0)
        = coalesce(daily.gross, 0) - coalesce(daily.discounts, 0) - coalesce(daily.refunds, 0),
        false
    )
