with counts as (

    select
        batch_id,
        feed,
        entity,
        rows_read,
        rows_accepted,
        rows_quarantined,
        rows_duplicate,
        rows_excluded,
        rows_conflicting,
        min_event_at,
        max_event_at
    from {{ source('ops', 'load_entity_counts') }}

),

deliveries as (

    select
        batch_id,
        object_name,
        status,
        delivery_date
    from {{ ref('quality_deliveries') }}

),

raw_rows as (

    select
        batch_id,
        entity,
        feed,
        rows_in_raw
    from {{ ref('quality_raw_versions') }}

),

-- A batch in raw that the ledger does not know must show, so neither side may drop the other's rows.
combined as (

    select
        coalesce(counts.batch_id, raw_rows.batch_id) as batch_id,
        coalesce(counts.feed, raw_rows.feed) as feed,
        coalesce(counts.entity, raw_rows.entity) as entity,
        coalesce(counts.rows_read, 0) as rows_read,
        coalesce(counts.rows_accepted, 0) as rows_accepted,
        coalesce(counts.rows_quarantined, 0) as rows_quarantined,
        coalesce(counts.rows_duplicate, 0) as rows_duplicate,
        coalesce(counts.rows_excluded, 0) as rows_excluded,
        coalesce(counts.rows_conflicting, 0) as rows_conflicting,
        coalesce(raw_rows.rows_in_raw, 0) as rows_in_raw,
        counts.min_event_at,
        counts.max_event_at
    from counts
    full outer join raw_rows
        on
            counts.batch_id = raw_rows.batch_id
            and counts.entity = raw_rows.entity

),

measured as (

    select
        combined.batch_id,
        combined.feed,
        combined.entity,
        deliveries.object_name,
        coalesce(deliveries.status, 'unknown') as status,
        combined.rows_read,
        combined.rows_accepted,
        combined.rows_quarantined,
        combined.rows_duplicate,
        combined.rows_excluded,
        combined.rows_conflicting,
        combined.rows_in_raw,
        combined.rows_read - combined.rows_accepted - combined.rows_quarantined
        - combined.rows_duplicate - combined.rows_excluded as unexplained_rows,
        -- Of a rejected or withdrawn delivery nothing is in raw.
        combined.rows_in_raw - case when deliveries.status = 'loaded' then combined.rows_accepted else 0 end
            as unexpected_raw_rows,
        combined.min_event_at,
        combined.max_event_at,
        deliveries.delivery_date
    from combined
    left join deliveries
        on combined.batch_id = deliveries.batch_id

)

select
    batch_id,

    feed,
    entity,
    object_name,
    status,

    cast(rows_read as bigint) as rows_read,
    cast(rows_accepted as bigint) as rows_accepted,
    cast(rows_quarantined as bigint) as rows_quarantined,
    cast(rows_duplicate as bigint) as rows_duplicate,
    cast(rows_excluded as bigint) as rows_excluded,
    cast(rows_conflicting as bigint) as rows_conflicting,
    cast(rows_in_raw as bigint) as rows_in_raw,
    cast(unexplained_rows as bigint) as unexplained_rows,
    cast(unexpected_raw_rows as bigint) as unexpected_raw_rows,

    unexplained_rows = 0 and unexpected_raw_rows = 0 as is_conserved,

    min_event_at,
    max_event_at,
    delivery_date
from measured
