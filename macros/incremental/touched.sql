{% macro temporary_name(what) -%}
    {{ return(what ~ '__' ~ this.identifier) }}
{%- endmacro %}

{% macro create_temporary_table(what, query) -%}
    drop table if exists {{ temporary_name(what) }};
    create temporary table {{ temporary_name(what) }} as {{ query }};
    {{ analyse_table(temporary_name(what)) }}
{%- endmacro %}

{# Without it Postgres takes a fresh table for a large one and reads the history in full. #}
{% macro analyse_table(name) -%}
    {{ return(adapter.dispatch('analyse_table')(name)) }}
{%- endmacro %}

{% macro default__analyse_table(name) -%}
{%- endmacro %}

{% macro postgres__analyse_table(name) -%}
    analyze {{ name }};
{%- endmacro %}

{#
    The rows of a relation that belong to touched keys; in a full build, the relation.

    columns: the relation's column for each column of `keys`, `{column of the relation: column of the keys}` or a list
    of names that both have; the model's scope, if not given. keys: a select; the touched keys, if not given. alias:
    the name of the result, where the query needs one.
    An equality join, so that engines skip the blocks that hold none of the keys.
#}
{% macro only_touched(relation, columns=none, keys=none, alias=none) -%}
    {%- if not is_incremental() -%}
        {{ relation }}{{ ' as ' ~ alias if alias }}
    {%- else -%}
        {%- set names = columns or config.get('meta').scope -%}
        {%- set pairs = names.items() | list if names is mapping else zip(names, names) | list -%}
        {%- set keys_of_scope = '(' ~ keys ~ ') as given_keys' if keys else temporary_name('touched') -%}
        /* touched */ (
            {{ rows_of_keys(relation, pairs, keys_of_scope) }}
            {%- for column, key in pairs if key == config.get('meta').undated %}
            union all
            select rows_of_table.*
            from {{ relation }} as rows_of_table
            where rows_of_table.{{ column }} is null
            {%- endfor %}
        ) {{ 'as touched_rows ' if not alias }}/* rows of {{ relation }} */{{ ' as ' ~ alias if alias }}
    {%- endif -%}
{%- endmacro %}

{#
    A select of the rows of a relation whose columns equal those of a key. `pairs`: the relation's column and the keys'
    column, each; `keys`: what stands after `from`.

    Ids of two systems lie apart: a join over both would span all that is between them, and skip nothing.
#}
{% macro rows_of_keys(relation, pairs, keys) -%}
    {%- set keys_of_system = pairs | selectattr(0, 'equalto', 'source_system') | map('last') | list -%}
    {%- set joined = pairs | rejectattr(0, 'equalto', 'source_system') | list -%}
    {%- set systems = source_systems() if keys_of_system else [none] %}
    {%- for system in systems %}
            select rows_of_table.*
            from {{ relation }} as rows_of_table
            inner join (
                select distinct {{ joined | map('last') | join(', ') }}
                from {{ keys }}
                {{ 'where ' ~ keys_of_system[0] ~ " = '" ~ system ~ "'" if system }}
            ) as touched_keys
                on
                    {%- for column, key in joined %}
                    rows_of_table.{{ column }} = touched_keys.{{ key }}{{ ' and' if not loop.last }}
                    {%- endfor %}
            {{ "where rows_of_table.source_system = '" ~ system ~ "'" if system }}
            {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{% macro source_systems() -%}
    {{ return(['store', 'restaurant']) }}
{%- endmacro %}

{% macro is_incremental() -%}
    {#- A unit test has neither that materialization nor a relation. -#}
    {%- if not execute or not flags.INTROSPECT or model.config.materialized != 'incremental' -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set relation = load_cached_relation(this) -%}
    {{ return(relation is not none and relation.type == 'table' and not should_full_refresh()) }}
{%- endmacro %}

{# Asked for, or needed: a source has no mark of this model yet, or was itself built anew. #}
{% macro should_full_refresh() -%}
    {%- set asked = config.get('full_refresh') -%}
    {%- if asked is none -%}{%- set asked = flags.FULL_REFRESH -%}{%- endif -%}
    {%- if asked or not execute or config.get('incremental_strategy') != 'touched' -%}
        {{ return(asked) }}
    {%- endif -%}
    {{ return(not keeps_state() or must_build_anew()) }}
{%- endmacro %}

{% macro must_build_anew() -%}
    {%- set feeds = feeds_of_model() -%}
    {%- if not feeds -%}{{ return(false) }}{%- endif -%}
    {#- Asked once while the model compiles and once while it runs, not by each macro that wants to know. -#}
    {%- if 'must_build_anew' not in model -%}
        {%- do model.update({'must_build_anew': not (watermark_table() and can_follow(this.identifier, feeds))}) -%}
    {%- endif -%}
    {{ return(model.must_build_anew) }}
{%- endmacro %}
