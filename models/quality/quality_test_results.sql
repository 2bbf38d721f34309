with results as (

    select
        run_id,
        unique_id,
        resource_type,
        name,
        status,
        severity,
        failures,
        execution_seconds,
        message,
        finished_at
    from {{ source('ops', 'dbt_results') }}
    where resource_type in ('test', 'unit_test')

),

-- A test that ran twice in a run counts with its last outcome.
latest as (

    select
        *,
        row_number() over (
            partition by run_id, unique_id
            order by case when finished_at is null then 1 else 0 end, finished_at desc
        ) as recency
    from results

)

select
    run_id,
    unique_id,

    name,
    resource_type,
    status,
    severity,
    message,

    cast(coalesce(failures, 0) as bigint) as failures,
    execution_seconds,

    status in ('pass', 'success') as is_passed,

    finished_at
from latest
where recency = 1
