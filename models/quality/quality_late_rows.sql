{#-
    What dates a row, where it happened and what names it, per raw table; the others describe and cannot be late. Names
    are compared by their first column in the table's own type, which lets engines skip blocks.
-#}
{% set entities = {
    'store.orders': {'key': ['id'], 'event': 'created_at', 'location': 'location_id'},
    'store.payments': {'key': ['id'], 'event': 'coalesce(paid_at, created_at)'},
    'store.returns': {'key': ['id'], 'event': 'returned_at'},
    'store.inventory': {'key': ['product_id', 'snapshot_date'], 'event': 'cast(snapshot_date as timestamp)'},
    'restaurant.order_items': {
        'key': ['order_id', 'lineitem_id'], 'event': 'creation_time_utc', 'location': 'restaurant_id',
    },
} %}
{#-
    No key of the feed names a delivery: those are touched that were loaded or withdrawn since, by the ledger, and those
    after them in their feed, whose rows they may have made late.
-#}
{% set touched -%}{% raw %}
    {%- set loaded -%}
        select
            deliveries.batch_id,
            deliveries.feed,
            deliveries.load_sequence,
            deliveries.loaded_at
        from {{ ref('quality_deliveries') }} as deliveries
        inner join {{ source('ops', 'load_entity_counts') }} as counts
            on deliveries.batch_id = counts.batch_id
        where
            deliveries.status = 'loaded'
            and counts.entity in (<entities>)
    {%- endset -%}
    {%- set judged -%}
        select
            batch_id,
            feed,
            load_sequence,
            loaded_at
        from {{ this }}
    {%- endset %}
    select
        known.feed,
        known.load_sequence
    from ({{ loaded }} union {{ judged }}) as known
    inner join (
        select
            feed,
            min(load_sequence) as load_sequence
        from (
            ({{ loaded }} except {{ judged }})
            union all
            ({{ judged }} except {{ loaded }})
        ) as differing
        group by feed
    ) as first_differing
        on known.feed = first_differing.feed
    where known.load_sequence >= first_differing.load_sequence
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['batch_id', 'entity'],
    scope=['feed', 'load_sequence'],
    hashes_joins=true,
    touched=touched | replace('<entities>', "'" ~ entities | join("', '") ~ "'")
)) }}

-- Late: first delivered after newer rows of its location, or after rows of a later business date of its feed.
-- So a new version of a known key is never late, neither is a location whose file of the day comes second.
with newest_events as (

    {% for entity, row in entities.items() %}
        select
            '{{ entity }}' as entity,
            _feed as feed,
            coalesce({{ row.location or "''" }}, '') as location_id,
            _load_sequence as load_sequence,
            {{ "'UTC'" if entity == 'store.inventory' else '_business_timezone' }} as business_timezone,
            max({{ row.event }}) as newest_event_at
        from {{ source('raw', entity | replace('.', '_')) }}
        where {{ row.event }} is not null
        group by
            _feed,
            {% if row.location %}coalesce({{ row.location }}, ''),{% endif %}
            {% if entity != 'store.inventory' %}_business_timezone,{% endif %}
            _load_sequence
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

-- A feed has one time zone: its newest row is on its newest date.
feed_newest_events as (

    select
        entity,
        feed,
        load_sequence,
        business_timezone,
        max(newest_event_at) as newest_event_at
    from newest_events
    group by
        entity,
        feed,
        load_sequence,
        business_timezone

),

feed_loads as (

    select
        entity,
        feed,
        load_sequence,
        max(max(newest_event_at)) over (
            partition by entity, feed
            order by load_sequence
            rows between unbounded preceding and 1 preceding
        ) as newest_event_before_at,
        max(max({{ business_date('newest_event_at', 'business_timezone') }})) over (
            partition by entity, feed
            order by load_sequence
            rows between unbounded preceding and 1 preceding
        ) as newest_event_before_date
    from feed_newest_events
    group by
        entity,
        feed,
        load_sequence

),

location_loads as (

    select
        entity,
        feed,
        location_id,
        load_sequence,
        max(max(newest_event_at)) over (
            partition by entity, feed, location_id
            order by load_sequence
            rows between unbounded preceding and 1 preceding
        ) as newest_event_before_at
    from newest_events
    group by
        entity,
        feed,
        location_id,
        load_sequence

),

older_rows as (

    {% for entity, row in entities.items() %}
        select
            '{{ entity }}' as entity,
            delivered._feed as feed,
            coalesce({{ row.location or "''" }}, '') as location_id,
            delivered._load_sequence as load_sequence,
            {{ row.key[0] }} as first_key,
            cast({{ row.key[1] or "''" }} as {{ text_type() }}) as second_key,
            {{ "'UTC'" if entity == 'store.inventory' else '_business_timezone' }} as business_timezone,
            {{ row.event }} as event_at,
            feed_loads.newest_event_before_date
        from {{ only_touched(
            source('raw', entity | replace('.', '_')),
            {'_feed': 'feed', '_load_sequence': 'load_sequence'},
            alias='delivered'
        ) }}
        inner join feed_loads
            on
                delivered._feed = feed_loads.feed
                and delivered._load_sequence = feed_loads.load_sequence
        where
            feed_loads.entity = '{{ entity }}'
            and {{ row.event }} < feed_loads.newest_event_before_at
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

{{ with_local_time('older_rows', 'event_at', 'event_at_local', timezone='business_timezone') }},

older_keys as (

    select
        localised.entity,
        localised.feed,
        localised.load_sequence,
        localised.first_key,
        localised.second_key,
        min(cast(localised.event_at_local as date)) as event_date
    from localised
    left join location_loads
        on
            localised.entity = location_loads.entity
            and localised.feed = location_loads.feed
            and localised.location_id = location_loads.location_id
            and localised.load_sequence = location_loads.load_sequence
    where
        localised.event_at < location_loads.newest_event_before_at
        or cast(localised.event_at_local as date) < localised.newest_event_before_date
    group by
        localised.entity,
        localised.feed,
        localised.load_sequence,
        localised.first_key,
        localised.second_key

),

known_before as (

    {% for entity, row in entities.items() %}
        select distinct
            older_keys.entity,
            older_keys.feed,
            older_keys.load_sequence,
            older_keys.first_key,
            older_keys.second_key
        from {{ source('raw', entity | replace('.', '_')) }} as earlier
        inner join older_keys
            on
                earlier.{{ row.key[0] }} = older_keys.first_key
                {% if row.key[1] %}
                    and cast(earlier.{{ row.key[1] }} as {{ text_type() }}) = older_keys.second_key
                {% endif %}
                and earlier._feed = older_keys.feed
                and earlier._load_sequence < older_keys.load_sequence
        where older_keys.entity = '{{ entity }}'
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

summarised as (

    select
        older_keys.entity,
        older_keys.feed,
        older_keys.load_sequence,
        count(*) as late_rows,
        min(older_keys.event_date) as oldest_late_date
    from older_keys
    left join known_before
        on
            older_keys.entity = known_before.entity
            and older_keys.feed = known_before.feed
            and older_keys.load_sequence = known_before.load_sequence
            and older_keys.first_key = known_before.first_key
            and older_keys.second_key = known_before.second_key
    where known_before.entity is null
    group by
        older_keys.entity,
        older_keys.feed,
        older_keys.load_sequence

),

deliveries as (

    select
        batch_id,
        feed,
        load_sequence,
        loaded_at,
        delivery_date
    from {{ only_touched(ref('quality_deliveries')) }}
    where status = 'loaded'

),

counts as (

    select
        batch_id,
        entity,
        rows_accepted
    from {{ source('ops', 'load_entity_counts') }}
    where entity in ('{{ entities | join("', '") }}')

)

select
    deliveries.batch_id,

    deliveries.feed,
    counts.entity,

    cast(deliveries.load_sequence as bigint) as load_sequence,
    cast(counts.rows_accepted as bigint) as rows_accepted,
    cast(coalesce(summarised.late_rows, 0) as bigint) as late_rows,

    summarised.oldest_late_date,
    deliveries.loaded_at,
    deliveries.delivery_date
from deliveries
inner join counts
    on deliveries.batch_id = counts.batch_id
left join summarised
    on
        counts.entity = summarised.entity
        and deliveries.feed = summarised.feed
        and deliveries.load_sequence = summarised.load_sequence
