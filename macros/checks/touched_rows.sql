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
    {%- if not emits or not can_follow('tests', [relation.identifier]) -%}
        {{ return(relation) }}
    {%- endif -%}
    {%- set columns = ['source_system'] -%}
    {%- set keys = ['source_system'] -%}
    {%- if emits.key -%}
        {%- do columns.append(emits.key) -%}
        {%- do keys.append('key') -%}
    {%- endif -%}
    {%- if emits.day -%}
        {#- A row without a date is named without a day. -#}
        {%- do columns.append("coalesce(" ~ emits.day ~ ", date '0001-01-01')") -%}
        {%- do keys.append("coalesce(day, date '0001-01-01')") -%}
    {%- endif -%}
    {%- set rows -%}
        (
            select *
            from {{ relation }}
            where ({{ columns | join(', ') }}) in (
                select {{ keys | join(', ') }}
                from state.changed
                where
                    source = '{{ relation.identifier }}'
                    and sequence > (
                        select marks.sequence
                        from state.watermark as marks
                        where marks.consumer = 'tests' and marks.source = '{{ relation.identifier }}'
                    )
            )
        ) as touched_rows
    {%- endset -%}
    {{ return(rows) }}
{%- endmacro %}

{# Which columns of a table fill the change feed; nothing where a table does not name its rows. #}
{% macro emitted_columns(relation) -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ relation.identifier) -%}
    {%- set emits = (node.config.meta.get('emits') or {}) if node else {} -%}
    {{ return(emits if emits.key or emits.day else {}) }}
{%- endmacro %}

{# When nothing failed: the checks have seen all that the tables they ran on had named. #}
{% macro note_checked(results) -%}
    {%- if execute and keeps_state() -%}
        {%- set state = namespace(failed=false, tables=[]) -%}
        {%- for result in results -%}
            {%- if result.status | string in ['fail', 'error', 'runtime error', 'skipped', 'partial success'] -%}
                {%- set state.failed = true -%}
            {%- elif result.node.resource_type | string == 'test' and result.node.attached_node
                and result.node.name.endswith('_checks_hold') -%}
                {%- set node = graph.nodes.get(result.node.attached_node) -%}
                {%- if node and node.config.meta.get('emits') -%}{%- do state.tables.append(node.alias) -%}{%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if not state.failed %}
            {{ advance_watermarks('tests', state.tables) }}
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
