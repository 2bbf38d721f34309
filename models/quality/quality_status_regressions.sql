{% set touched -%}{% raw %}
    select key as order_id from {{ changes(source('raw', 'store_orders')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', 'version_number'],
    scope=['order_id'],
    touched=touched
)) }}

{%- set deliveries_of_orders = only_touched(source('raw', 'store_orders'), {'id': 'order_id'}, alias='delivered') %}

-- An order that came once has no step back, and most orders come once.
with repeated as (

    select id
    from {{ deliveries_of_orders }}
    group by id
    having count(*) > 1

),

-- Versions in their own order, not in that of arrival: a version that came late is no step back.
versions as (

    select
        id as order_id,
        status,
        updated_at,
        _batch_id as batch_id,
        _feed as feed,
        row_number() over (
            partition by id
            order by
                case when updated_at is null then 0 else 1 end, updated_at,
                _load_sequence, {{ text_order('_feed') }}, {{ text_order('_batch_id') }}, _row_number
        ) as version_number
    from {{ deliveries_of_orders }}
    where exists (
        select 1
        from repeated
        where repeated.id = delivered.id
    )

),

statuses as (

    select
        status,
        flow_position
    from {{ ref('order_statuses') }}
    where source_system = 'store'

),

placed as (

    select
        versions.order_id,
        versions.feed,
        versions.batch_id,
        versions.status,
        versions.version_number,
        versions.updated_at,
        statuses.flow_position,
        lag(versions.status) over (
            partition by versions.order_id order by versions.version_number
        ) as previous_status,
        lag(statuses.flow_position) over (
            partition by versions.order_id order by versions.version_number
        ) as previous_flow_position
    from versions
    -- A status that no flow knows says nothing about direction.
    inner join statuses
        on versions.status = statuses.status

),

deliveries as (

    select
        batch_id,
        delivery_date
    from {{ ref('quality_deliveries') }}

)

select
    {{ surrogate_key(["'store'", 'placed.order_id']) }} as order_key,
    placed.order_id,
    placed.batch_id,

    'store' as source_system,
    placed.feed,
    placed.previous_status,
    placed.status,

    cast(placed.version_number as bigint) as version_number,

    placed.updated_at,
    deliveries.delivery_date
from placed
left join deliveries
    on placed.batch_id = deliveries.batch_id
where placed.flow_position < placed.previous_flow_position
