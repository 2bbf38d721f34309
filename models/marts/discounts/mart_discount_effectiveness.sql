with orders as (

    select
        order_key,
        location_key,
        source_system,
        lines,
        lines_with_cost,
        units,
        gross_amount,
        discount_amount,
        net_sales_amount,
        case when lines_with_cost > 0 then net_sales_with_cost_amount - cost_amount end as margin_amount,
        is_discounted,
        {{ start_of('month', 'order_date') }} as month_start
    from {{ ref('fct_orders') }}
    where is_booked

),

refunds as (

    select
        order_key,
        eligible_refund_amount,
        {{ start_of('month', 'return_date') }} as month_start
    from {{ ref('fct_returns') }}
    where
        eligible_refund_amount <> 0
        and has_cost

),

sold as (

    select
        location_key,
        source_system,
        count(*) as orders,
        sum(lines) as lines,
        sum(lines_with_cost) as lines_with_cost,
        {{ sum_money('units') }} as units,
        {{ sum_money('gross_amount') }} as gross_revenue,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales,
        -- Not coalesced: without a known cost there is no margin, which is not a margin of 0.
        sum(margin_amount) as gross_margin,
        is_discounted,
        month_start
    from orders
    group by
        location_key,
        source_system,
        is_discounted,
        month_start

),

-- Refunds count in the month of the return, in the group of the order that they give money back for.
refunded as (

    select
        orders.location_key,
        orders.source_system,
        {{ sum_money('refunds.eligible_refund_amount') }} as refunds,
        orders.is_discounted,
        refunds.month_start
    from refunds
    inner join orders
        on refunds.order_key = orders.order_key
    group by
        orders.location_key,
        orders.source_system,
        orders.is_discounted,
        refunds.month_start

),

combined as (

    select
        coalesce(sold.location_key, refunded.location_key) as location_key,
        coalesce(sold.source_system, refunded.source_system) as source_system,
        coalesce(sold.orders, 0) as orders,
        coalesce(sold.lines, 0) as lines,
        coalesce(sold.lines_with_cost, 0) as lines_with_cost,
        coalesce(sold.units, 0) as units,
        coalesce(sold.gross_revenue, 0) as gross_revenue,
        coalesce(sold.discounts, 0) as discounts,
        coalesce(sold.net_sales, 0) as net_sales,
        case
            when refunded.refunds is null then sold.gross_margin
            else coalesce(sold.gross_margin, 0) - refunded.refunds
        end as gross_margin,
        coalesce(sold.is_discounted, refunded.is_discounted) as is_discounted,
        coalesce(sold.month_start, refunded.month_start) as month_start
    from sold
    full outer join refunded
        on
            sold.location_key = refunded.location_key
            and sold.source_system = refunded.source_system
            and sold.is_discounted = refunded.is_discounted
            and sold.month_start = refunded.month_start

)

select
    location_key,

    source_system,

    cast(orders as bigint) as orders,
    cast(gross_revenue as numeric(38, 4)) as gross_revenue,
    cast(discounts as numeric(38, 4)) as discounts,
    cast(net_sales as numeric(38, 4)) as net_sales,
    {{ divide('net_sales', 'orders') }} as average_order_value,
    {{ divide('units', 'orders') }} as units_per_order,
    cast(gross_margin as numeric(38, 4)) as gross_margin,
    {{ divide('lines_with_cost', 'lines') }} as lines_with_cost_share,
    {{ divide('discounts', 'gross_revenue') }} as discount_rate,

    is_discounted,

    month_start
from combined
