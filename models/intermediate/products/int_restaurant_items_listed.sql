-- A franchise location has no catalogue: what was sold is the list. Category stays on the line; the
-- newest one stands here.
with lines as (

    select
        source_system,
        item_name,
        category,
        -- The time of the order, which is that of its first line: a line never has a time of its own.
        min(ordered_at) over (partition by order_id) as order_placed_at,
        row_number() over (
            partition by item_name
            order by ordered_at desc, {{ text_order('order_id') }} desc, {{ text_order('line_id') }} desc
        ) as recency
    from {{ ref('stg_restaurant__order_items') }}

),

items as (

    select
        source_system,
        item_name as product_id,
        max(case when recency = 1 then category end) as category,
        min(order_placed_at) as valid_from
    from lines
    group by
        source_system,
        item_name

)

select
    {{ surrogate_key(['source_system', 'product_id', "'only version'"]) }} as product_version_key,
    {{ surrogate_key(['source_system', 'product_id']) }} as product_key,
    source_system,
    product_id,
    category,
    valid_from
from items
