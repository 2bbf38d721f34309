{#
    Two rhythms of checks. With TILLHOUSE_CHECKS=touched the checks of a table that is rebuilt for what changed look at
    the rows that changed since they last passed: those that the table has named in the change feed beyond the mark of
    the consumer `tests`. Without a mark, after a full build, and for every other table, they look at all rows.
#}
{% macro rows_to_check(relation) -%}
    {%- if not execute or env_var('TILLHOUSE_CHECKS', 'all') != 'touched' or not keeps_state() -%}
        {{ return(relation) }}
    {%- endif -%}
    {%- set emits = emitted_columns(relation) -%}
    {%- set source = source_of_names(relation) -%}
    {%- if not emits or not can_follow('tests', [source]) -%}
        {{ return(relation) }}
    {%- endif -%}
    {%- set pairs = [('source_system', 'source_system')] + columns_that_find(relation) -%}
    {%- set named -%}
        (
            select
                source_system,
                key,
                day
            from state.changed
            where
                source = '{{ source }}'
                and sequence > (
                    select marks.sequence
                    from state.watermark as marks
                    where marks.consumer = 'tests' and marks.source = '{{ source }}'
                )
        ) as named
    {%- endset -%}
    {%- set rows -%}
        (
            {{ rows_of_keys(relation, pairs, named) }}
            {%- for column, key in pairs if key == 'day' %}
            union all
            {#- A row without a date is named without a day. #}
            select undated_rows.*
            from {{ relation }} as undated_rows
            where
                undated_rows.{{ column }} is null
                and exists (select 1 from {{ named }} where day is null)
            {%- endfor %}
        ) as touched_rows
    {%- endset -%}
    {{ return(rows) }}
{%- endmacro %}

{#
    By which of its columns the rows that a table has named are found: column of the table and of the feed, each. One is
    enough where it is part of what names a row; then rows of one name are found together.
#}
{% macro columns_that_find(relation) -%}
    {%- set emits = emitted_columns(relation) -%}
    {%- set pairs = [] -%}
    {%- for from_feed in ['key', 'day'] if emits[from_feed] -%}
        {%- do pairs.append((emits[from_feed], from_feed)) -%}
    {%- endfor -%}
    {%- set naming = pairs | selectattr(0, 'in', row_key_of(relation)) | list -%}
    {{ return(naming[:1] or pairs) }}
{%- endmacro %}

{# Whether the rows that are found hold all rows of their names. #}
{% macro finds_all_of_a_name(relation) -%}
    {{ return(columns_that_find(relation) | selectattr(0, 'in', row_key_of(relation)) | list | length > 0) }}
{%- endmacro %}

{#
    Who names the rows of a relation in the change feed: itself, or the table of which it is a view with a row each
    (`rows_of` in its meta, and the table's own columns).
#}
{% macro source_of_names(relation) -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ relation.identifier) -%}
    {{ return((node.config.meta.get('rows_of') if node) or relation.identifier) }}
{%- endmacro %}

{% macro row_key_of(relation) -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ source_of_names(relation)) -%}
    {{ return((node.config.unique_key or []) if node else []) }}
{%- endmacro %}

{# Which columns of a table fill the change feed; nothing where a table does not name its rows. #}
{% macro emitted_columns(relation) -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ source_of_names(relation)) -%}
    {%- set emits = (node.config.meta.get('emits') or {}) if node else {} -%}
    {{ return(emits if emits.key or emits.day else {}) }}
{%- endmacro %}

{#
    When nothing failed: the checks have seen all that the tables they ran on had named. A table whose checks warned keeps
    its mark until all its rows are checked: which rows break a check is asked with the same SQL once more after the run.
#}
{% macro note_checked(results) -%}
    {%- if execute and keeps_state() -%}
        {%- set state = namespace(failed=false, tables=[], asked_again=[]) -%}
        {%- for result in results -%}
            {%- if result.status | string in ['fail', 'error', 'runtime error', 'skipped', 'partial success'] -%}
                {%- set state.failed = true -%}
            {%- elif result.node.resource_type | string == 'test' and result.node.attached_node
                and result.node.name.endswith('_checks_hold') -%}
                {%- set node = graph.nodes.get(result.node.attached_node) -%}
                {%- set is_asked_again = result.status | string == 'warn' and env_var('TILLHOUSE_CHECKS', 'all') == 'touched' -%}
                {%- if node and is_asked_again -%}
                    {%- do state.asked_again.append(node.config.meta.get('rows_of') or node.alias) -%}
                {%- elif node and node.config.meta.get('emits') -%}
                    {%- do state.tables.append(node.alias) -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if not state.failed %}
            {{ advance_watermarks('tests', state.tables | reject('in', state.asked_again) | list) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#
    A condition on the rows of a test over several tables by day: with TILLHOUSE_CHECKS=touched, that one of the tables
    has named the day since its checks last passed; otherwise, and after a full build of one of them, true.
#}
{% macro is_day_to_check(tables, day) -%}
    {%- if not execute or env_var('TILLHOUSE_CHECKS', 'all') != 'touched' or not keeps_state() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- if not can_follow('tests', tables) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set condition -%}
        (source_system, {{ day }}) in (
            select
                changed.source_system,
                changed.day
            from state.changed
            inner join state.watermark
                on changed.source = watermark.source
            where
                watermark.consumer = 'tests'
                and changed.source in ('{{ tables | join("', '") }}')
                and changed.sequence > watermark.sequence
        )
    {%- endset -%}
    {{ return(condition) }}
{%- endmacro %}
