{#-
    The key that judges versions per raw table. An option line has no key: a newer delivery of the line replaces all.
-#}
{% set entities = {
    'store.orders': {'key': ['id'], 'updated_at': 'updated_at'},
    'store.order_items': {'key': ['order_id', 'line_id']},
    'store.customers': {'key': ['id'], 'updated_at': 'updated_at'},
    'store.payments': {'key': ['id']},
    'store.products': {'key': ['product_id', 'effective_at']},
    'store.returns': {'key': ['id']},
    'store.inventory': {'key': ['snapshot_date', 'product_id']},
    'store.locations': {'key': ['location_id']},
    'restaurant.order_items': {'key': ['order_id', 'lineitem_id']},
    'restaurant.date_dim': {'key': ['date_key']},
    'restaurant.locations': {'key': ['location_id']},
} %}

with versions as (

    {% for entity, versioning in entities.items() %}
        select
            '{{ entity }}' as entity,
            _batch_id as batch_id,
            _feed as feed,
            {{ version_rank(versioning.key, updated_at=versioning.updated_at) }} as version_rank
        from {{ source('raw', entity | replace('.', '_')) }}

        union all

    {% endfor %}
    select
        'restaurant.order_item_options' as entity,
        _batch_id as batch_id,
        _feed as feed,
        case
            when options_mode = 'append' then 1
            else
                dense_rank() over (
                    partition by order_id, lineitem_id, options_mode
                    order by _load_sequence desc, {{ text_order('_feed') }} desc, {{ text_order('_batch_id') }} desc
                )
        end as version_rank
    from {{ source('raw', 'restaurant_order_item_options') }}

)

select
    batch_id,

    feed,
    entity,

    cast(count(*) as bigint) as rows_in_raw,
    cast({{ count_when('version_rank > 1') }} as bigint) as rows_superseded
from versions
group by
    batch_id,
    feed,
    entity
