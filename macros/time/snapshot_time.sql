{# When dbt believed a row, as every other time: naive and in UTC. dbt's own takes the session's time zone. #}
{% macro duckdb__snapshot_get_time() -%}
    cast(now() at time zone 'UTC' as timestamp)
{%- endmacro %}

{% macro postgres__snapshot_get_time() -%}
    cast(now() at time zone 'UTC' as timestamp)
{%- endmacro %}
