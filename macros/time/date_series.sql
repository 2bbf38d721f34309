{# Cross-joined digits run on every engine; recursion and series functions do not. 100,000 days are 273 years. #}
{% macro date_series(first_date, last_date, bounds) -%}
    select {{ add_days('bounds.' ~ first_date, 'offsets.days') }} as date_day
    from {{ bounds }} as bounds
    inner join (
        select a.digit + 10 * b.digit + 100 * c.digit + 1000 * d.digit + 10000 * e.digit as days
        from (select 0 as digit {% for n in range(1, 10) %}union all select {{ n }} {% endfor %}) as a
        {%- for place in ['b', 'c', 'd', 'e'] %}
        cross join (select 0 as digit {% for n in range(1, 10) %}union all select {{ n }} {% endfor %}) as {{ place }}
        {%- endfor %}
    ) as offsets
        on {{ days_between('bounds.' ~ first_date, 'bounds.' ~ last_date) }} >= offsets.days
{%- endmacro %}
