-- Known: listed in a location file, or named by an order. Orders without a location share a row without id.
with listed as (

    select
        source_system,
        location_id,
        location_name,
        region,
        timezone,
        opened_on
    from {{ ref('stg_store__locations') }}

    union all

    select
        source_system,
        location_id,
        location_name,
        region,
        timezone,
        opened_on
    from {{ ref('stg_restaurant__locations') }}

),

seen as (

    select
        location_key,
        source_system,
        location_id,
        min(case when is_booked then order_date end) as first_order_date
    from {{ ref('int_orders_united') }}
    group by
        location_key,
        source_system,
        location_id

),

keyed as (

    select
        {{ surrogate_key(['source_system', 'location_id']) }} as location_key,
        source_system,
        location_id,
        location_name,
        region,
        timezone,
        opened_on
    from listed

)

select
    coalesce(keyed.location_key, seen.location_key) as location_key,
    coalesce(keyed.source_system, seen.source_system) as source_system,
    coalesce(keyed.location_id, seen.location_id) as location_id,
    coalesce(keyed.location_name, seen.location_id, 'No location') as location_name,
    keyed.region,
    keyed.timezone,
    keyed.location_key is null as is_inferred,
    keyed.opened_on,
    seen.first_order_date
from keyed
full outer join seen
    on keyed.location_key = seen.location_key
