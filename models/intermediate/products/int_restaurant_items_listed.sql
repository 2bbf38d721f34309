-- A franchise location has no catalogue: what was sold is the list. Category stays on the line; the
-- newest one stands here.
with days as (

    select
        source_system,
        item_name,
        last_category,
        min(first_sold_at) over (partition by item_name) as valid_from,
        row_number() over (
            partition by item_name
            order by last_sold_at desc, {{ text_order('last_order_id') }} desc, {{ text_order('last_line_id') }} desc
        ) as recency
    from {{ ref('int_restaurant_item_days_summarised') }}

)

select
    {{ surrogate_key(['source_system', 'item_name', "'only version'"]) }} as product_version_key,
    {{ surrogate_key(['source_system', 'item_name']) }} as product_key,
    source_system,
    item_name as product_id,
    last_category as category,
    valid_from
from days
where recency = 1
