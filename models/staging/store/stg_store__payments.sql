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
    {{ business_date('coalesce(paid_at, created_at)', '_business_timezone') }} as payment_date,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
