{% macro literals(values) -%}
    {%- for value in values -%}
        {{ value if value is number else dbt.string_literal(value) }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{# How many rows share their key with another one, or lack a part of it. #}
{% macro rows_without_own_key(relation, key) -%}
    select coalesce(sum(occurrences), 0)
    from (
        select count(*) as occurrences
        from {{ relation }}
        group by {{ key | join(', ') }}
        having count(*) > 1 {% for column in key %}or {{ column }} is null {% endfor %}
    ) as repeated
{%- endmacro %}


{% macro rows_without_parent(relation, column, parent, field) -%}
    select count(*)
    from {{ relation }} as child
    where
        child.{{ column }} is not null
        and not exists (select 1 from {{ parent }} as parent where parent.{{ field }} = child.{{ column }})
{%- endmacro %}


{# Conservation between layers: with unique keys on both sides, nothing lost and nothing fanned out. #}
{% macro difference_in_rows(relation, other) -%}
    select abs((select count(*) from {{ relation }}) - (select count(*) from {{ other }}))
{%- endmacro %}
