-- A franchise location has no catalogue: what was sold is the list. Category stays on the line; the
-- newest one stands here.
with lines as (

    select
        source_system,
        order_id,
        line_id,
        item_name,
        category,
        ordered_at
    from {{ ref('stg_restaurant__order_items') }}

),

-- The time of the order, which is that of its first line: a line never has a time of its own.
orders as (

    select
        order_id,
        ordered_at
    from {{ ref('int_restaurant_orders_derived') }}

),

items as (

    select
        lines.source_system,
        lines.item_name,
        min(orders.ordered_at) as valid_from,
        max(lines.ordered_at) as last_sold_at
    from lines
    inner join orders
        on lines.order_id = orders.order_id
    group by
        lines.source_system,
        lines.item_name

),

-- Ranking the lines of an item's last moment costs a tenth of ranking all its lines.
last_lines as (

    select
        items.source_system,
        items.item_name,
        lines.category,
        items.valid_from,
        row_number() over (
            partition by items.item_name
            order by {{ text_order('lines.order_id') }} desc, {{ text_order('lines.line_id') }} desc
        ) as recency
    from items
    inner join lines
        on
            items.item_name = lines.item_name
            and items.last_sold_at = lines.ordered_at

)

select
    {{ surrogate_key(['source_system', 'item_name', "'only version'"]) }} as product_version_key,
    {{ surrogate_key(['source_system', 'item_name']) }} as product_key,
    source_system,
    item_name as product_id,
    category,
    valid_from
from last_lines
where recency = 1
