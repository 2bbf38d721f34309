select
    location_key,

    source_system,
    location_id,
    location_name,
    region,
    timezone,

    is_inferred,

    opened_on,
    first_order_date
from {{ ref('int_locations_known') }}
