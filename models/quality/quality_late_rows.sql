{#- What dates a row, and where it happened, per raw table; the others describe and cannot be late. -#}
{% set entities = {
    'store.orders': {'key': ['id'], 'event': 'created_at', 'location': 'location_id'},
    'store.payments': {'key': ['id'], 'event': 'coalesce(paid_at, created_at)'},
    'store.returns': {'key': ['id'], 'event': 'returned_at'},
    'store.inventory': {'key': ['snapshot_date', 'product_id'], 'event': 'cast(snapshot_date as timestamp)'},
    'restaurant.order_items': {
        'key': ['order_id', 'lineitem_id'], 'event': 'creation_time_utc', 'location': 'restaurant_id',
    },
} %}

-- Late: first delivered after newer rows of its location, or after rows of a later business date of its feed.
-- So a new version of a known key is never late, neither is a location whose file of the day comes second.
with dated_deliveries as (

    {% for entity, row in entities.items() %}
        select
            '{{ entity }}' as entity,
            _feed as feed,
            min(coalesce({{ row.location or "''" }}, '')) as location_id,
            min(_load_sequence) as load_sequence,
            min({{ row.event }}) as event_at,
            {{ "'UTC'" if entity == 'store.inventory' else 'min(_business_timezone)' }} as business_timezone
        from {{ source('raw', entity | replace('.', '_')) }}
        where {{ row.event }} is not null
        group by
            _feed,
            {{ row.key | join(', ') }}
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

{{ with_local_time('dated_deliveries', 'event_at', 'event_at_local', timezone='business_timezone') }},

first_deliveries as (

    select
        entity,
        feed,
        location_id,
        load_sequence,
        event_at,
        cast(event_at_local as date) as event_date
    from localised

),

location_loads as (

    select
        entity,
        feed,
        location_id,
        load_sequence,
        max(max(event_at)) over (
            partition by entity, feed, location_id
            order by load_sequence
            rows between unbounded preceding and 1 preceding
        ) as newest_event_before_at
    from first_deliveries
    group by
        entity,
        feed,
        location_id,
        load_sequence

),

feed_loads as (

    select
        entity,
        feed,
        load_sequence,
        max(max(event_date)) over (
            partition by entity, feed
            order by load_sequence
            rows between unbounded preceding and 1 preceding
        ) as newest_event_before_date
    from first_deliveries
    group by
        entity,
        feed,
        load_sequence

),

judged as (

    select
        rows_delivered.entity,
        rows_delivered.feed,
        rows_delivered.load_sequence,
        rows_delivered.event_date,
        coalesce(rows_delivered.event_at < location_loads.newest_event_before_at, false)
        or coalesce(rows_delivered.event_date < feed_loads.newest_event_before_date, false) as is_late,
        feed_loads.newest_event_before_date
    from first_deliveries as rows_delivered
    inner join location_loads
        on
            rows_delivered.entity = location_loads.entity
            and rows_delivered.feed = location_loads.feed
            and rows_delivered.location_id = location_loads.location_id
            and rows_delivered.load_sequence = location_loads.load_sequence
    inner join feed_loads
        on
            rows_delivered.entity = feed_loads.entity
            and rows_delivered.feed = feed_loads.feed
            and rows_delivered.load_sequence = feed_loads.load_sequence

),

summarised as (

    select
        entity,
        feed,
        load_sequence,
        count(*) as new_rows,
        {{ count_when('is_late') }} as late_rows,
        min(case when is_late then event_date end) as oldest_late_date
    from judged
    group by
        entity,
        feed,
        load_sequence

),

deliveries as (

    select
        batch_id,
        feed,
        load_sequence,
        delivery_date
    from {{ ref('quality_deliveries') }}
    where status = 'loaded'

)

select
    deliveries.batch_id,

    summarised.feed,
    summarised.entity,

    cast(summarised.load_sequence as bigint) as load_sequence,
    cast(summarised.new_rows as bigint) as new_rows,
    cast(summarised.late_rows as bigint) as late_rows,

    summarised.oldest_late_date,
    deliveries.delivery_date
from summarised
inner join deliveries
    on
        summarised.feed = deliveries.feed
        and summarised.load_sequence = deliveries.load_sequence
where summarised.late_rows > 0
