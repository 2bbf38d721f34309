with ledger as (

    select
        batch_id,
        feed,
        load_sequence,
        object_name,
        status,
        rule,
        message,
        duplicate_of,
        size_bytes,
        rows_read,
        coalesce(delivered_at, modified_at, first_seen_at) as arrived_at,
        first_seen_at,
        loaded_at
    from {{ source('ops', 'load_ledger') }}

)

select
    batch_id,
    duplicate_of,

    feed,
    object_name,
    status,
    rule,
    message,

    load_sequence,
    size_bytes,
    rows_read,

    arrived_at,
    first_seen_at,
    loaded_at,
    cast(arrived_at as date) as delivery_date
from ledger
