{#
    The last clause of a large table that is rebuilt for what changed: rows of one time lie together, so that a day's
    look-ups skip the blocks of all other times. Joins, windows and aggregates that spill leave their rows in no order.
    `columns`: the system first, since ids of two systems lie apart, then what grows with time.

    Postgres and Redshift skip no blocks of a heap by what lies in them: sorting would be for nothing.
#}
{% macro clustered_by(columns) -%}
    {{ return(adapter.dispatch('clustered_by')(columns)) }}
{%- endmacro %}

{% macro default__clustered_by(columns) -%}
    order by {{ columns | join(', ') }}
{%- endmacro %}

{% macro postgres__clustered_by(columns) -%}
{%- endmacro %}

{# It orders by a table's sort key, and inherits what Postgres dispatches. #}
{% macro redshift__clustered_by(columns) -%}
{%- endmacro %}
