{% macro reporting_currency() -%}
    {{- env_var('TILLHOUSE_REPORTING_CURRENCY', '') or var('reporting_currency') -}}
{%- endmacro %}
