with store_orders as (

    select
        order_id,
        customer_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__orders') }}

),

store_lines as (

    select
        order_id,
        line_id,
        product_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__order_items') }}

),

customers as (

    select customer_id
    from {{ ref('stg_store__customers') }}

),

products as (

    select distinct product_id
    from {{ ref('stg_store__products') }}

),

payments as (

    select
        order_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__payments') }}

),

returns as (

    select
        order_id,
        line_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__returns') }}

),

counts as (

    select
        product_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__inventory') }}

),

restaurant_lines as (

    select
        order_id,
        line_id
    from {{ ref('stg_restaurant__order_items') }}

),

options as (

    select
        order_id,
        line_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_restaurant__order_item_options') }}

),

orphans as (

    select
        'store' as source_system,
        'store.order_items' as entity,
        'line_without_order' as orphan_type,
        store_lines.order_id as missing_parent_id,
        store_lines.feed,
        store_lines.batch_id
    from store_lines
    left join store_orders
        on store_lines.order_id = store_orders.order_id
    where store_orders.order_id is null

    union all

    select
        'store' as source_system,
        'store.order_items' as entity,
        'line_without_product' as orphan_type,
        store_lines.product_id as missing_parent_id,
        store_lines.feed,
        store_lines.batch_id
    from store_lines
    left join products
        on store_lines.product_id = products.product_id
    where products.product_id is null

    union all

    select
        'store' as source_system,
        'store.orders' as entity,
        'order_without_customer' as orphan_type,
        store_orders.customer_id as missing_parent_id,
        store_orders.feed,
        store_orders.batch_id
    from store_orders
    left join customers
        on store_orders.customer_id = customers.customer_id
    where
        store_orders.customer_id is not null
        and customers.customer_id is null

    union all

    select
        'store' as source_system,
        'store.payments' as entity,
        'payment_without_order' as orphan_type,
        payments.order_id as missing_parent_id,
        payments.feed,
        payments.batch_id
    from payments
    left join store_orders
        on payments.order_id = store_orders.order_id
    where store_orders.order_id is null

    union all

    select
        'store' as source_system,
        'store.returns' as entity,
        'return_without_line' as orphan_type,
        returns.order_id || ' / ' || returns.line_id as missing_parent_id,
        returns.feed,
        returns.batch_id
    from returns
    left join store_lines
        on
            returns.order_id = store_lines.order_id
            and returns.line_id = store_lines.line_id
    where store_lines.order_id is null

    union all

    select
        'store' as source_system,
        'store.inventory' as entity,
        'count_without_product' as orphan_type,
        counts.product_id as missing_parent_id,
        counts.feed,
        counts.batch_id
    from counts
    left join products
        on counts.product_id = products.product_id
    where products.product_id is null

    union all

    select
        'restaurant' as source_system,
        'restaurant.order_item_options' as entity,
        'option_without_line' as orphan_type,
        options.order_id || ' / ' || options.line_id as missing_parent_id,
        options.feed,
        options.batch_id
    from options
    left join restaurant_lines
        on
            options.order_id = restaurant_lines.order_id
            and options.line_id = restaurant_lines.line_id
    where restaurant_lines.order_id is null

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

    cast(count(*) as bigint) as orphan_rows,

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
