with deliveries as (

    select
        *,
        {{ version_rank(['id']) }} as version_rank
    from {{ source('raw', 'store_payments') }}

)

select
    'store' as source_system,
    id as payment_id,
    order_id,
    status,
    method,
    amount,
    created_at,
    paid_at,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
