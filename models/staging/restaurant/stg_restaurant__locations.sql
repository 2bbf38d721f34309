with deliveries as (

    select
        *,
        {{ version_rank(['location_id']) }} as version_rank
    from {{ source('raw', 'restaurant_locations') }}

)

select
    'restaurant' as source_system,
    location_id,
    name as location_name,
    region,
    timezone,
    opened_on,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
