{% set period_days = var('churn_period_days') %}
{% set last_year = add_days(start_of('year', 'as_of_date'), -1) %}
{% set boundaries = {
    'as_of': 'as_of_date',
    'period_start': add_days('as_of_date', -(period_days - 1)),
    'previous_period_start': add_days('as_of_date', -(2 * period_days - 1)),
    'year_start': start_of('year', 'as_of_date'),
    'previous_year_start': start_of('year', last_year),
    'previous_year_end': year_earlier('as_of_date'),
} %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'boundary'],
    emits={'key': 'boundary', 'day': 'boundary_date'}
)) }}

-- A boundary that moves is named with its former and its new date: between them lie the days that enter or leave a
-- window, so a summary follows them and is otherwise left alone.
with as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

)

{% for boundary, date in boundaries.items() %}
    select
        source_system,
        '{{ boundary }}' as boundary,
        cast({{ date }} as date) as boundary_date
    from as_of_dates
    {% if not loop.last %}
        union all
    {% endif %}
{% endfor %}
