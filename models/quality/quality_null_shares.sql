with counts as (

    select
        batch_id,
        feed,
        entity,
        rows_accepted,
        null_counts
    from {{ source('ops', 'load_entity_counts') }}
    where null_counts is not null

),

nulls as (

    {{ json_entries('counts', ['batch_id', 'feed', 'entity', 'rows_accepted'], 'null_counts') | indent(4) }}

),

deliveries as (

    select
        batch_id,
        delivery_date
    from {{ ref('quality_deliveries') }}
    where status = 'loaded'

),

summarised as (

    select
        nulls.feed,
        nulls.entity,
        nulls.entry_name as column_name,
        sum(nulls.rows_accepted) as rows_accepted,
        sum(nulls.entry_value) as null_rows,
        deliveries.delivery_date
    from nulls
    inner join deliveries
        on nulls.batch_id = deliveries.batch_id
    group by
        nulls.feed,
        nulls.entity,
        nulls.entry_name,
        deliveries.delivery_date

)

select
    feed,
    entity,
    cast(column_name as {{ text_type() }}) as column_name,

    cast(rows_accepted as bigint) as rows_accepted,
    cast(null_rows as bigint) as null_rows,
    {{ divide('null_rows', 'rows_accepted') }} as null_share,

    delivery_date
from summarised
