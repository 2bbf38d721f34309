with deliveries as (

    select
        *,
        {{ version_rank(['snapshot_date', 'product_id']) }} as version_rank
    from {{ source('raw', 'store_inventory') }}

)

select
    'store' as source_system,
    product_id,
    on_hand,
    allocated,
    reorder_point,
    snapshot_date,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
