{% macro count_when(condition) -%}
    count(case when {{ condition }} then 1 end)
{%- endmacro %}

{% macro count_distinct_when(condition, expression) -%}
    count(distinct case when {{ condition }} then {{ expression }} end)
{%- endmacro %}

{% macro sum_money_when(condition, expression) -%}
    {{ sum_money('case when ' ~ condition ~ ' then ' ~ expression ~ ' end') }}
{%- endmacro %}

{# No engine-wide max over booleans. #}
{% macro any_true(condition) -%}
    max(case when {{ condition }} then 1 else 0 end) = 1
{%- endmacro %}
