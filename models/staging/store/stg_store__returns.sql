with deliveries as (

    select
        *,
        {{ version_rank(['id']) }} as version_rank
    from {{ source('raw', 'store_returns') }}

)

select
    'store' as source_system,
    id as return_id,
    order_id,
    line_id,
    reason,
    quantity,
    refund_amount,
    returned_at,
    {{ business_date('returned_at', '_business_timezone') }} as return_date,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
