with quarantine as (

    select
        batch_id,
        feed,
        coalesce(entity, 'whole file') as entity,
        coalesce(rule, 'unknown') as rule,
        coalesce(column_name, 'whole row') as column_name,
        coalesce(status, 'open') as status,
        row_number
    from {{ source('ops', 'quarantine') }}

),

deliveries as (

    select
        batch_id,
        delivery_date
    from {{ ref('quality_deliveries') }}

),

dated as (

    select
        quarantine.batch_id,
        quarantine.feed,
        quarantine.entity,
        quarantine.rule,
        quarantine.column_name,
        quarantine.status,
        quarantine.row_number,
        deliveries.delivery_date
    from quarantine
    left join deliveries
        on quarantine.batch_id = deliveries.batch_id

)

select
    feed,
    entity,
    rule,
    column_name,
    status,

    cast({{ count_when('row_number is not null') }} as bigint) as quarantined_rows,
    cast({{ count_when('row_number is null') }} as bigint) as rejected_files,
    cast(count(distinct batch_id) as bigint) as deliveries,

    delivery_date
from dated
group by
    feed,
    entity,
    rule,
    column_name,
    status,
    delivery_date
