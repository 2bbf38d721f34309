{# Whole microseconds divided once, so that every engine gives the same bits. #}
{% macro hours_between(first_timestamp, second_timestamp) -%}
    {{ divide(microseconds_between(first_timestamp, second_timestamp), '3600000000') }}
{%- endmacro %}

{% macro microseconds_between(first_timestamp, second_timestamp) -%}
    {{ return(adapter.dispatch('microseconds_between')(first_timestamp, second_timestamp)) }}
{%- endmacro %}

{% macro default__microseconds_between(first_timestamp, second_timestamp) -%}
    cast(date_sub('microsecond', {{ first_timestamp }}, {{ second_timestamp }}) as bigint)
{%- endmacro %}

{% macro postgres__microseconds_between(first_timestamp, second_timestamp) -%}
    cast(extract(epoch from ({{ second_timestamp }} - {{ first_timestamp }})) * 1000000 as bigint)
{%- endmacro %}

{% macro redshift__microseconds_between(first_timestamp, second_timestamp) -%}
    cast(datediff(microsecond, {{ first_timestamp }}, {{ second_timestamp }}) as bigint)
{%- endmacro %}
