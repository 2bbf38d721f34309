with deliveries as (

    select
        *,
        {{ version_rank(['id'], updated_at='updated_at') }} as version_rank
    from {{ source('raw', 'store_customers') }}

)

select
    'store' as source_system,
    id as customer_id,
    email_token,
    region,
    is_loyalty,
    signup_date,
    updated_at,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
