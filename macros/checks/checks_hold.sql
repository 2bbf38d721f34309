{% macro literals(values) -%}
    {%- for value in values -%}
        {{ value if value is number else dbt.string_literal(value) }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{#
    How many rows share their key with another one, or lack a part of it. `rows`: those of which keys are looked at. They
    are compared with all rows, unless those that are looked at hold all rows of their names.
#}
{% macro rows_without_own_key(relation, key, rows) -%}
    {%- set is_alone = rows == relation or finds_all_of_a_name(relation) %}
    select coalesce(sum(occurrences), 0)
    from (
        select count(*) as occurrences
        from {{ rows if is_alone else rows_with_keys_of(relation, key, rows) }}
        group by {{ key | join(', ') }}
        having count(*) > 1 {% for column in key %}or {{ column }} is null {% endfor %}
    ) as repeated
{%- endmacro %}


{# A null key equals nothing, so rows without one come from `rows` alone. #}
{% macro rows_with_keys_of(relation, key, rows) -%}
    (
        select {{ key | join(', ') }}
        from {{ relation }}
        where ({{ key | join(', ') }}) in (select {{ key | join(', ') }} from {{ rows }})
        union all
        select {{ key | join(', ') }}
        from {{ rows }}
        where {% for column in key %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}
    ) as rows_of_keys
{%- endmacro %}


{#
    `within`: a column that a row has in common with the one it refers to and that lies in the order of time. Where not
    all rows are looked at, only the parents in these blocks are; those depend on the rows themselves, and a `not exists`
    over them would be unrolled into every row beside every other one.
#}
{% macro rows_without_parent(relation, column, parent, field, within=none, is_whole=true) -%}
    {%- set rows = '(select * from ' ~ relation ~ ') as child' %}
    {%- if is_whole or not within %}
    select count(*)
    from {{ rows }}
    where
        child.{{ column }} is not null
        and not exists (
            select 1
            from {{ parent }} as parent
            where parent.{{ field }} = child.{{ column }}
        )
    {%- else %}
    select count(*)
    from {{ rows }}
    left join
        ({{ rows_of_keys(parent, [('source_system', 'source_system'), (within, within)], rows) }}) as parent
        on parent.{{ field }} = child.{{ column }}
    where
        child.{{ column }} is not null
        and parent.{{ field }} is null
    {%- endif %}
{%- endmacro %}


{# Conservation between layers: with unique keys on both sides, nothing lost and nothing fanned out. #}
{% macro difference_in_rows(relation, other) -%}
    select abs((select count(*) from {{ relation }}) - (select count(*) from {{ other }}))
{%- endmacro %}
