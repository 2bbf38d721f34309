-- The facts say already which of their rows lack an order: staging is read for these rows alone.
with lines_without_order as (

    select
        order_id,
        line_id
    from {{ ref('fct_order_items') }}
    where
        source_system = 'store'
        and has_missing_header

),

payments_without_order as (

    select payment_id
    from {{ ref('fct_payments') }}
    where has_missing_order

),

-- The line is missing, or its order, or both.
returns_without_order as (

    select return_id
    from {{ ref('fct_returns') }}
    where has_missing_order

),

customers_without_record as (

    select customer_id
    from {{ ref('dim_customer') }}
    where
        source_system = 'store'
        and is_inferred

),

products as (

    select distinct product_id
    from {{ ref('stg_store__products') }}

),

store_orders as (

    select
        order_id,
        customer_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__orders') }}

),

-- Each reads the lines by itself: what is read in several places would be collected whole.
store_lines_without_order as (

    select
        lines.order_id,
        lines._feed as feed,
        lines._batch_id as batch_id
    from {{ ref('stg_store__order_items') }} as lines
    inner join lines_without_order
        on
            lines.order_id = lines_without_order.order_id
            and lines.line_id = lines_without_order.line_id

),

store_lines_without_product as (

    select
        lines.product_id,
        lines._feed as feed,
        lines._batch_id as batch_id
    from {{ ref('stg_store__order_items') }} as lines
    left join products
        on lines.product_id = products.product_id
    where products.product_id is null

),

payments as (

    select
        payment_id,
        order_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__payments') }}

),

returns_without_line as (

    select
        returned.order_id,
        returned.line_id,
        returned._feed as feed,
        returned._batch_id as batch_id
    from {{ ref('stg_store__returns') }} as returned
    inner join returns_without_order
        on returned.return_id = returns_without_order.return_id
    left join {{ ref('stg_store__order_items') }} as lines
        on
            returned.order_id = lines.order_id
            and returned.line_id = lines.line_id
    where lines.order_id is null

),

counts as (

    select
        product_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__inventory') }}

),

options_without_line as (

    select
        order_id,
        line_id,
        feed,
        batch_id,
        option_rows
    from {{ ref('quality_options_without_line') }}

),

orphans as (

    select
        'store' as source_system,
        'store.order_items' as entity,
        'line_without_order' as orphan_type,
        order_id as missing_parent_id,
        feed,
        batch_id,
        1 as orphan_rows
    from store_lines_without_order

    union all

    select
        'store' as source_system,
        'store.order_items' as entity,
        'line_without_product' as orphan_type,
        product_id as missing_parent_id,
        feed,
        batch_id,
        1 as orphan_rows
    from store_lines_without_product

    union all

    select
        'store' as source_system,
        'store.orders' as entity,
        'order_without_customer' as orphan_type,
        store_orders.customer_id as missing_parent_id,
        store_orders.feed,
        store_orders.batch_id,
        1 as orphan_rows
    from store_orders
    inner join customers_without_record
        on store_orders.customer_id = customers_without_record.customer_id

    union all

    select
        'store' as source_system,
        'store.payments' as entity,
        'payment_without_order' as orphan_type,
        payments.order_id as missing_parent_id,
        payments.feed,
        payments.batch_id,
        1 as orphan_rows
    from payments
    inner join payments_without_order
        on payments.payment_id = payments_without_order.payment_id

    union all

    select
        'store' as source_system,
        'store.returns' as entity,
        'return_without_line' as orphan_type,
        order_id || ' / ' || line_id as missing_parent_id,
        feed,
        batch_id,
        1 as orphan_rows
    from returns_without_line

    union all

    select
        'store' as source_system,
        'store.inventory' as entity,
        'count_without_product' as orphan_type,
        counts.product_id as missing_parent_id,
        counts.feed,
        counts.batch_id,
        1 as orphan_rows
    from counts
    left join products
        on counts.product_id = products.product_id
    where products.product_id is null

    union all

    select
        'restaurant' as source_system,
        'restaurant.order_item_options' as entity,
        'option_without_line' as orphan_type,
        order_id || ' / ' || line_id as missing_parent_id,
        feed,
        batch_id,
        option_rows as orphan_rows
    from options_without_line

),

deliveries as (

    select
        batch_id,
        delivery_date
    from {{ ref('quality_deliveries') }}

)

select
    orphans.missing_parent_id,

    orphans.source_system,
    orphans.feed,
    orphans.entity,
    orphans.orphan_type,

    cast(sum(orphans.orphan_rows) as bigint) as orphan_rows,

    deliveries.delivery_date
from orphans
left join deliveries
    on orphans.batch_id = deliveries.batch_id
group by
    orphans.missing_parent_id,
    orphans.source_system,
    orphans.feed,
    orphans.entity,
    orphans.orphan_type,
    deliveries.delivery_date
