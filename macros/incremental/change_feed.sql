{#
    The change feed. `state.changed` holds what was touched, by source: a raw table (the loader writes its rows in the
    transaction that loads a delivery) or a model (written where rows really changed). `state.watermark` says how far
    each consumer has taken each source. A row without key, customer and day stands for everything.
#}
{% macro create_state_tables() -%}
    create schema if not exists state;
    create table if not exists state.changed (
        source {{ text_type() }} not null,
        sequence bigint not null,
        source_system {{ text_type() }},
        key {{ text_type() }},
        customer_key {{ text_type() }},
        day date
    );
    create table if not exists state.watermark (
        consumer {{ text_type() }} not null,
        source {{ text_type() }} not null,
        sequence bigint not null,
        primary key (consumer, source)
    );
    create table if not exists state.built (
        model {{ text_type() }} primary key,
        fingerprint {{ text_type() }} not null
    );
{%- endmacro %}

{#
    dbt enters the relations of a schema into its cache one by one, and takes a schema for known from the first one on. Were
    it the models that asked first, one thread would not find the table that another is about to enter.
#}
{% macro look_up_state_tables() -%}
    {%- if execute and flags.INTROSPECT -%}
        {%- do watermark_table() -%}
    {%- endif -%}
{%- endmacro %}

{% macro watermark_table() -%}
    {{ return(adapter.get_relation(target.database, 'state', 'watermark')) }}
{%- endmacro %}

{# What no consumer still waits for. #}
{% macro prune_changes() -%}
    {%- if keeps_state() %}
    delete from state.changed
    where not exists (
        select 1
        from state.watermark
        where
            watermark.source = changed.source
            and watermark.sequence < changed.sequence
    );
    {%- endif %}
{%- endmacro %}

{# Builds for review stand in schemas of their own and must not take changes away from the real ones. #}
{% macro keeps_state() -%}
    {{ return(not env_var('TILLHOUSE_SCHEMA_PREFIX', '')) }}
{%- endmacro %}

{# The name that a relation has in the feed. #}
{% macro feed_name(relation) -%}
    {{ return(('raw.' ~ relation.identifier) if relation.schema == 'raw' else relation.identifier) }}
{%- endmacro %}

{# What a source has named since this model last took it; to be used in `touched`. #}
{% macro changes(relation) -%}
    (
        select *
        from state.changed
        where
            source = '{{ feed_name(relation) }}'
            and sequence > (
                select sequence
                from state.watermark
                where
                    consumer = '{{ this.identifier }}'
                    and source = '{{ feed_name(relation) }}'
            )
    )
{%- endmacro %}

{# The keys that models have named: `columns` says which of the feed's columns become which columns of the key. #}
{% macro changed_keys(names, columns) -%}
    {%- for name in names %}
    select
        {%- for from_feed, column in columns.items() %}
        {{ from_feed }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ changes(ref(name)) }} as {{ name }}
    {{- ' union all' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# The names in the feed of all that the model reads and that names its changes. #}
{% macro feeds_of_model() -%}
    {%- set feeds = [] -%}
    {%- for unique_id in model.depends_on.nodes | unique | sort -%}
        {%- if unique_id.startswith('source.') -%}
            {%- set source_node = graph.sources[unique_id] -%}
            {%- if source_node.schema == 'raw' -%}{%- do feeds.append('raw.' ~ source_node.identifier) -%}{%- endif -%}
        {%- else -%}
            {%- set node = graph.nodes[unique_id] -%}
            {%- if node.config.get('incremental_strategy') == 'touched' -%}
                {%- do feeds.append(node.alias) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(feeds) }}
{%- endmacro %}

{# The newest number of a source: a consumer's mark stands for what has been pruned. #}
{% macro newest_sequence(feed) -%}
    (
        select coalesce(max(numbers.sequence), 0)
        from (
            select sequence from state.changed where source = '{{ feed }}'
            union all
            select sequence from state.watermark where source = '{{ feed }}'
        ) as numbers
    )
{%- endmacro %}

{# A consumer has taken all that the sources have named. #}
{% macro advance_watermarks(consumer, feeds) -%}
    {%- if feeds %}
    insert into state.watermark (consumer, source, sequence)
    select
        '{{ consumer }}',
        feeds.source,
        0
    from (
        {% for feed in feeds -%}
        select '{{ feed }}' as source {{ 'union all ' if not loop.last }}
        {%- endfor %}
    ) as feeds
    where not exists (
        select 1
        from state.watermark
        where
            watermark.consumer = '{{ consumer }}'
            and watermark.source = feeds.source
    );
    update state.watermark
    set sequence = newest.sequence
    from (
        select
            numbers.source,
            max(numbers.sequence) as sequence
        from (
            select source, sequence from state.changed
            union all
            select source, sequence from state.watermark
        ) as numbers
        group by numbers.source
    ) as newest
    where
        watermark.consumer = '{{ consumer }}'
        and watermark.source in ('{{ feeds | join("', '") }}')
        and watermark.source = newest.source
        and watermark.sequence < newest.sequence;
    {%- endif %}
{%- endmacro %}

{# Whether a consumer has a mark of every source, and none of them was built anew since. #}
{% macro can_follow(consumer, feeds) -%}
    {%- set query -%}
        select count(*)
        from state.watermark
        where
            consumer = '{{ consumer }}'
            and source in ('{{ feeds | join("', '") }}')
            and not exists (
                select 1
                from state.changed
                where
                    changed.source = watermark.source
                    and changed.sequence > watermark.sequence
                    and changed.key is null
                    and changed.customer_key is null
                    and changed.day is null
            )
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0] == feeds | length) }}
{%- endmacro %}

{# A model that was built anew tells its consumers to do the same, and from where it goes on. #}
{% macro note_full_build() -%}
    {%- if execute and keeps_state() and not is_incremental() %}
    insert into state.changed (source, sequence)
    select distinct
        '{{ this.identifier }}',
        1 + {{ newest_sequence(this.identifier) }}
    from state.watermark
    where source = '{{ this.identifier }}';
    {{ advance_watermarks(this.identifier, feeds_of_model()) }}
    delete from state.built where model = '{{ this.identifier }}';
    insert into state.built (model, fingerprint) values ('{{ this.identifier }}', '{{ logic_fingerprint() }}');
    {%- endif %}
{%- endmacro %}
