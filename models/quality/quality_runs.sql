with runs as (

    select
        run_id,
        target,
        status,
        message,
        files_seen,
        files_loaded,
        files_duplicate,
        files_rejected,
        rows_read,
        rows_accepted,
        rows_quarantined,
        started_at,
        finished_at,
        published_at,
        as_of_date
    from {{ source('ops', 'runs') }}
    -- Marts are built in the middle of a run: what it says of itself then is no longer so when it is read.
    where status <> 'running'

)

select
    run_id,

    target,
    status,
    message,

    files_seen,
    files_loaded,
    files_duplicate,
    files_rejected,
    rows_read,
    rows_accepted,
    rows_quarantined,
    {{ divide(microseconds_between('started_at', 'finished_at'), 1000000) }} as duration_seconds,

    published_at is not null as is_published,

    started_at,
    finished_at,
    published_at,
    as_of_date
from runs
