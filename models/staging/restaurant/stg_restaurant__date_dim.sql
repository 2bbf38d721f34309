with deliveries as (

    select
        *,
        {{ version_rank(['date_key']) }} as version_rank
    from {{ source('raw', 'restaurant_date_dim') }}

)

select
    'restaurant' as source_system,
    date_key as date_day,
    holiday_name,
    coalesce(is_holiday, false) as is_holiday,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
