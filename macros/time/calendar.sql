{# Dates only: a timestamp is cast to its business date first. #}
{% macro start_of(period, date) -%}
    cast(date_trunc('{{ period }}', {{ date }}) as date)
{%- endmacro %}

{% macro add_days(date, days) -%}
    ({{ date }} + cast({{ days }} as integer))
{%- endmacro %}

{% macro days_between(first_date, second_date) -%}
    cast({{ second_date }} - {{ first_date }} as integer)
{%- endmacro %}

{% macro months_between(first_date, second_date) -%}
    cast(
        (extract(year from {{ second_date }}) - extract(year from {{ first_date }})) * 12
        + extract(month from {{ second_date }}) - extract(month from {{ first_date }}) as integer
    )
{%- endmacro %}

{# `isodow` and `isoyear` are missing on Redshift; Monday starts every engine's week. #}
{% macro iso_day_of_week(date) -%}
    cast({{ days_between(start_of('week', date), date) }} + 1 as integer)
{%- endmacro %}

{% macro iso_year(date) -%}
    cast(extract(year from {{ add_days(start_of('week', date), 3) }}) as integer)
{%- endmacro %}

{% macro iso_week(date) -%}
    cast(extract(week from {{ date }}) as integer)
{%- endmacro %}

{% macro hour_of(timestamp) -%}
    cast(extract(hour from {{ timestamp }}) as integer)
{%- endmacro %}
