{#- Each figure: the model that counts it, and its expression there. -#}
{% set figures = {
    'deliveries': ('conservation', 'count(distinct batch_id)'),
    'rows_read': ('conservation', 'sum(rows_read)'),
    'rows_accepted': ('conservation', 'sum(rows_accepted)'),
    'rows_quarantined': ('conservation', 'sum(rows_quarantined)'),
    'rows_duplicate': ('conservation', 'sum(rows_duplicate)'),
    'rows_excluded': ('conservation', 'sum(rows_excluded)'),
    'rows_conflicting': ('conservation', 'sum(rows_conflicting)'),
    'rows_superseded': ('versions', 'sum(rows_superseded)'),
    'late_rows': ('late_rows', 'sum(late_rows)'),
    'orphan_rows': ('orphans', 'sum(orphan_rows)'),
    'order_breaks': ('order_breaks', 'count(*)'),
    'status_regressions': ('status_regressions', 'count(*)'),
} %}
{% set counting_models = [
    'conservation', 'versions', 'late_rows', 'orphans', 'order_breaks', 'status_regressions'
] %}

with conservation as (

    select
        batch_id,
        feed,
        entity,
        rows_read,
        rows_accepted,
        rows_quarantined,
        rows_duplicate,
        rows_excluded,
        rows_conflicting,
        delivery_date
    from {{ ref('quality_file_conservation') }}
    where status = 'loaded'

),

raw_versions as (

    select
        batch_id,
        entity,
        rows_superseded
    from {{ ref('quality_raw_versions') }}

),

versions as (

    select
        conservation.feed,
        conservation.entity,
        raw_versions.rows_superseded,
        conservation.delivery_date
    from raw_versions
    inner join conservation
        on
            raw_versions.batch_id = conservation.batch_id
            and raw_versions.entity = conservation.entity

),

late_rows as (

    select
        feed,
        entity,
        late_rows,
        delivery_date
    from {{ ref('quality_late_rows') }}

),

orphans as (

    select
        feed,
        entity,
        orphan_rows,
        delivery_date
    from {{ ref('quality_orphans') }}

),

order_breaks as (

    select
        feed,
        case when source_system = 'store' then 'store.orders' else 'restaurant.order_items' end as entity,
        delivery_date
    from {{ ref('quality_order_breaks') }}

),

status_regressions as (

    select
        feed,
        'store.orders' as entity,
        delivery_date
    from {{ ref('quality_status_regressions') }}

),

counted as (

    {% for counting in counting_models %}
        select
            feed,
            entity,
            {% for figure, (model, expression) in figures.items() %}
                {{ expression if model == counting else '0' }} as {{ figure }},
            {% endfor %}
            delivery_date
        from {{ counting }}
        group by
            feed,
            entity,
            delivery_date
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

)

select
    feed,
    entity,

    {% for figure in figures %}
        cast(sum({{ figure }}) as bigint) as {{ figure }},
    {% endfor %}

    delivery_date
from counted
group by
    feed,
    entity,
    delivery_date
