with counts as (

    select
        product_key,
        product_id,
        source_system,
        product_name,
        category,
        on_hand,
        allocated,
        available,
        reorder_point,
        days_in_alert,
        days_of_cover,
        is_stockout,
        is_discontinued,
        snapshot_date
    from {{ ref('mart_inventory_latest') }}
    where is_alert

)

select
    product_key,
    product_id,

    source_system,
    product_name,
    category,

    on_hand,
    allocated,
    available,
    reorder_point,
    days_in_alert,
    days_of_cover,
    cast(reorder_point - available as numeric(18, 4)) as suggested_order_quantity,

    is_stockout,
    is_discontinued,

    snapshot_date
from counts
