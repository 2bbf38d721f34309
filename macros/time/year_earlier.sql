{# From the month's start, so that no engine's rule for adding years decides: 29 February gives 28 February. #}
{% macro year_earlier(date) -%}
    {%- set month = start_of('month', add_days(start_of('month', date), -360)) -%}
    least(
        {{ add_days(month, days_between(start_of('month', date), date)) }},
        {{ add_days(start_of('month', add_days(month, 31)), -1) }}
    )
{%- endmacro %}
