-- Behind the newest delivery of all feeds, not behind the clock: a rebuild on another day says the same.
with conservation as (

    select
        batch_id,
        feed,
        entity,
        rows_accepted,
        max_event_at,
        delivery_date
    from {{ ref('quality_file_conservation') }}
    where status = 'loaded'

),

deliveries as (

    select
        batch_id,
        arrived_at
    from {{ ref('quality_deliveries') }}

),

newest as (

    select max(delivery_date) as delivery_date
    from conservation

),

summarised as (

    select
        conservation.feed,
        conservation.entity,
        count(*) as deliveries,
        sum(conservation.rows_accepted) as rows_accepted,
        max(deliveries.arrived_at) as last_arrived_at,
        max(conservation.max_event_at) as newest_event_at,
        max(conservation.delivery_date) as last_delivery_date
    from conservation
    inner join deliveries
        on conservation.batch_id = deliveries.batch_id
    group by
        conservation.feed,
        conservation.entity

),

newest_arrival as (

    select max(last_arrived_at) as arrived_at
    from summarised

)

select
    summarised.feed,
    summarised.entity,

    cast(summarised.deliveries as bigint) as deliveries,
    cast(summarised.rows_accepted as bigint) as rows_accepted,
    {{ days_between('summarised.last_delivery_date', 'newest.delivery_date') }} as days_behind,

    summarised.last_arrived_at,
    summarised.newest_event_at,
    summarised.last_delivery_date,
    {{ hours_between('summarised.last_arrived_at', 'newest_arrival.arrived_at') }} as hours_behind
from summarised
cross join newest
cross join newest_arrival
