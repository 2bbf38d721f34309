with orders as (

    select
        source_system,
        order_key,
        location_key,
        is_discounted,
        units,
        gross_amount,
        discount_amount,
        net_sales_amount,
        {{ start_of('month', 'order_date') }} as order_month
    from {{ ref('fct_orders') }}
    where is_booked

),

lines as (

    select
        order_item_key,
        order_key,
        net_sales_amount,
        cost_amount
    from {{ ref('fct_order_items') }}
    where is_booked

),

refunds as (

    select
        order_item_key,
        eligible_refund_amount,
        {{ start_of('month', 'return_date') }} as return_month
    from {{ ref('fct_returns') }}
    where is_refund_eligible

),

order_figures as (

    select
        source_system,
        location_key,
        is_discounted,
        order_month as metric_month,
        count(*) as orders,
        sum(units) as units,
        sum(gross_amount) as gross_revenue,
        sum(discount_amount) as discounts,
        sum(net_sales_amount) as net_sales
    from orders
    group by
        source_system,
        location_key,
        is_discounted,
        order_month

),

line_figures as (

    select
        orders.source_system,
        orders.location_key,
        orders.is_discounted,
        orders.order_month as metric_month,
        count(*) as order_lines,
        count(lines.cost_amount) as lines_with_cost,
        sum(case when lines.cost_amount is not null then lines.net_sales_amount - lines.cost_amount end) as margin
    from orders
    inner join lines
        on orders.order_key = lines.order_key
    group by
        orders.source_system,
        orders.location_key,
        orders.is_discounted,
        orders.order_month

),

-- Refunds count in the month of the return, in the group of the order that they give money back for.
refund_figures as (

    select
        orders.source_system,
        orders.location_key,
        orders.is_discounted,
        refunds.return_month as metric_month,
        -sum(refunds.eligible_refund_amount) as margin
    from refunds
    inner join lines
        on refunds.order_item_key = lines.order_item_key
    inner join orders
        on lines.order_key = orders.order_key
    where lines.cost_amount is not null
    group by
        orders.source_system,
        orders.location_key,
        orders.is_discounted,
        refunds.return_month

),

figures as (

    select
        source_system,
        location_key,
        is_discounted,
        metric_month,
        orders,
        units,
        gross_revenue,
        discounts,
        net_sales,
        0 as order_lines,
        0 as lines_with_cost,
        cast(null as numeric(38, 4)) as margin
    from order_figures

    union all

    select
        source_system,
        location_key,
        is_discounted,
        metric_month,
        0 as orders,
        0 as units,
        0 as gross_revenue,
        0 as discounts,
        0 as net_sales,
        order_lines,
        lines_with_cost,
        margin
    from line_figures

    union all

    select
        source_system,
        location_key,
        is_discounted,
        metric_month,
        0 as orders,
        0 as units,
        0 as gross_revenue,
        0 as discounts,
        0 as net_sales,
        0 as order_lines,
        0 as lines_with_cost,
        margin
    from refund_figures

),

summarised as (

    select
        source_system,
        location_key,
        is_discounted,
        metric_month,
        sum(orders) as orders,
        sum(units) as units,
        sum(gross_revenue) as gross_revenue,
        sum(discounts) as discounts,
        sum(net_sales) as net_sales,
        sum(order_lines) as order_lines,
        sum(lines_with_cost) as lines_with_cost,
        sum(margin) as gross_margin
    from figures
    group by
        source_system,
        location_key,
        is_discounted,
        metric_month

)

select
    {{ surrogate_key(['source_system', 'location_key', 'is_discounted', 'metric_month']) }} as discount_month_key,
    location_key,
    source_system,
    cast(orders as bigint) as orders,
    cast(gross_revenue as numeric(38, 4)) as gross_revenue,
    cast(discounts as numeric(38, 4)) as discounts,
    cast(net_sales as numeric(38, 4)) as net_sales,
    {{ divide('net_sales', 'orders') }} as average_order_value,
    {{ divide('units', 'orders') }} as units_per_order,
    cast(gross_margin as numeric(38, 4)) as gross_margin,
    {{ divide('lines_with_cost', 'order_lines') }} as lines_with_cost_share,
    {{ divide('discounts', 'gross_revenue') }} as discount_rate,
    is_discounted,
    metric_month as month_start
from summarised
