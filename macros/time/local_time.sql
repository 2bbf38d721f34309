{% macro local_timestamp(utc_timestamp, timezone) -%}
    {{ return(adapter.dispatch('local_timestamp')(utc_timestamp, timezone)) }}
{%- endmacro %}

{% macro default__local_timestamp(utc_timestamp, timezone) -%}
    (({{ utc_timestamp }} at time zone 'UTC') at time zone {{ timezone }})
{%- endmacro %}

{% macro redshift__local_timestamp(utc_timestamp, timezone) -%}
    convert_timezone('UTC', {{ timezone }}, {{ utc_timestamp }})
{%- endmacro %}

{% macro business_date(utc_timestamp, timezone) -%}
    cast({{ local_timestamp(utc_timestamp, timezone) }} as date)
{%- endmacro %}
