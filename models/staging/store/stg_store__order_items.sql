with deliveries as (

    select
        *,
        {{ version_rank(['order_id', 'line_id']) }} as version_rank
    from {{ source('raw', 'store_order_items') }}

)

select
    'store' as source_system,
    order_id,
    line_id,
    product_id,
    quantity,
    unit_price,
    coalesce(discount_amount, 0) as discount_amount,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
