-- Lines, orders and daily revenue tell the same money, exactly: gross, discounts and refunds per source system.
-- Lines count that are booked; refunds are each return's, whatever its date.
with lines as (

    select
        source_system,
        {{ sum_money('gross_amount') }} as gross,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales,
        {{ sum_money('quantity') }} as units
    from {{ ref('fct_order_items') }}
    where is_booked
    group by source_system

),

refunds as (

    select
        source_system,
        {{ sum_money('eligible_refund_amount') }} as refunds
    from {{ ref('fct_returns') }}
    group by source_system

),

orders as (

    select
        source_system,
        {{ sum_money('gross_amount') }} as gross,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales,
        {{ sum_money('units') }} as units,
        {{ sum_money('refund_amount') }} as refunds
    from {{ ref('fct_orders') }}
    where is_booked
    group by source_system

),

daily as (

    select
        source_system,
        {{ sum_money('gross_revenue') }} as gross,
        {{ sum_money('discounts') }} as discounts,
        {{ sum_money('net_sales') }} as net_sales,
        {{ sum_money('units') }} as units,
        {{ sum_money('refunds') }} as refunds,
        {{ sum_money('net_revenue') }} as net_revenue
    from {{ ref('fct_revenue_daily') }}
    group by source_system

)

select
    daily.source_system,
    lines.net_sales as line_net_sales,
    orders.net_sales as order_net_sales,
    daily.net_sales as daily_net_sales,
    refunds.refunds as return_refunds,
    orders.refunds as order_refunds,
    daily.refunds as daily_refunds
from daily
full outer join orders
    on daily.source_system = orders.source_system
full outer join lines
    on coalesce(daily.source_system, orders.source_system) = lines.source_system
left join refunds
    on daily.source_system = refunds.source_system
where
    not coalesce(
        coalesce(lines.gross, 0) = coalesce(orders.gross, 0)
        and coalesce(lines.discounts, 0) = coalesce(orders.discounts, 0)
        and coalesce(lines.net_sales, 0) = coalesce(orders.net_sales, 0)
        and coalesce(lines.units, 0) = coalesce(orders.units, 0)
        and coalesce(orders.gross, 0) = daily.gross
        and coalesce(orders.discounts, 0) = daily.discounts
        and coalesce(orders.net_sales, 0) = daily.net_sales
        and coalesce(orders.units, 0) = daily.units
        and coalesce(orders.refunds, 0) = daily.refunds
        and coalesce(refunds.refunds, 0) = daily.refunds
        and daily.net_revenue = daily.gross - daily.discounts - daily.refunds,
        false
    )
