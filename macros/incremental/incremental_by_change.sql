{#
    The configuration of a model that is rebuilt for what changed only.

    A run collects the keys that its sources named since the model last ran (`touched`), computes the rows of these
    keys alone, compares them with those that stand in the table, writes the ones that really differ and names them
    to the models that follow. All of that is one transaction: a run that dies leaves the table, the feed and the
    watermarks as they were, and the next run takes up the same keys again.

    row_key: columns that name one row. scope: columns of the touched keys; a touched key's rows are recomputed
    together. emits: which columns fill `key`, `customer_key` and `day` of the change feed. touched: the select that
    collects the keys, in raw Jinja, since it is rendered when the model runs; none means that every row is compared.
    follows_from_others: columns that change only where another row of the model does; a row that differs in these alone
    is written, and not named. undated: the column of `scope` that may be null; rows without it are computed in each run,
    since no key names them. hashes_joins: a planner that takes a step of the query for tiny must not loop over it.
#}
{% macro incremental_by_change(
    row_key, scope=[], emits={}, touched=none, follows_from_others=[], undated=none, hashes_joins=false
) -%}
    {%- set settings = {
        'materialized': 'incremental',
        'incremental_strategy': 'touched',
        'on_schema_change': 'fail',
        'unique_key': row_key,
        'meta': {
            'scope': scope, 'emits': emits, 'follows_from_others': follows_from_others, 'undated': undated
        },
        'post_hook': '{{ note_full_build() }}',
    } -%}
    {%- set hooks = [] -%}
    {%- if hashes_joins -%}
        {%- do hooks.append('{{ join_by_hashing() }}') -%}
    {%- endif -%}
    {%- if touched -%}
        {%- do hooks.append(
            '{% if is_incremental() %}{% set collected %}' ~ touched
            ~ '{% endset %}{{ create_temporary_table("touched", collected) }}{% endif %}'
        ) -%}
    {%- endif -%}
    {%- if hooks -%}
        {%- do settings.update({'pre_hook': hooks}) -%}
    {%- endif -%}
    {{ return(settings) }}
{%- endmacro %}

{# For the rest of the model's transaction. Only Postgres plans by guesses that can be so wrong. #}
{% macro join_by_hashing() -%}
    {{ return(adapter.dispatch('join_by_hashing')()) }}
{%- endmacro %}

{% macro default__join_by_hashing() -%}
{%- endmacro %}

{% macro postgres__join_by_hashing() -%}
    set local enable_nestloop = off
{%- endmacro %}

{# It plans without nested loops over large tables of its own accord, and inherits what Postgres dispatches. #}
{% macro redshift__join_by_hashing() -%}
{%- endmacro %}
