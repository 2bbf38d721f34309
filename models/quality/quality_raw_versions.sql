{% set entities = [
    'store.orders', 'store.order_items', 'store.customers', 'store.payments', 'store.products', 'store.returns',
    'store.inventory', 'store.locations', 'restaurant.order_items', 'restaurant.order_item_options',
    'restaurant.date_dim', 'restaurant.locations',
] %}

-- Staging keeps the newest version of each key: what a delivery has in raw and not there is superseded.
-- All of raw is counted each day, so that a row that is lost later shows too; by one column, a third of what two cost.
with delivered as (

    {% for entity in entities %}
        select
            '{{ entity }}' as entity,
            _batch_id as batch_id,
            count(*) as rows_in_raw
        from {{ source('raw', entity | replace('.', '_')) }}
        group by _batch_id
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

current_versions as (

    {% for entity in entities %}
        select
            '{{ entity }}' as entity,
            _batch_id as batch_id,
            count(*) as rows_current
        from {{ ref('stg_' ~ entity | replace('.', '__')) }}
        group by _batch_id
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

deliveries as (

    select
        batch_id,
        feed
    from {{ ref('quality_deliveries') }}

)

select
    delivered.batch_id,

    coalesce(deliveries.feed, 'unknown') as feed,
    delivered.entity,

    cast(delivered.rows_in_raw as bigint) as rows_in_raw,
    cast(delivered.rows_in_raw - coalesce(current_versions.rows_current, 0) as bigint) as rows_superseded
from delivered
left join deliveries
    on delivered.batch_id = deliveries.batch_id
left join current_versions
    on
        delivered.entity = current_versions.entity
        and delivered.batch_id = current_versions.batch_id
