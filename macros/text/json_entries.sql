{# A query of the columns named, and one row per entry of the JSON object beside them. #}
{% macro json_entries(relation, columns, json_column) -%}
    {{ return(adapter.dispatch('json_entries')(relation, columns, json_column)) }}
{%- endmacro %}

{% macro default__json_entries(relation, columns, json_column) -%}
    select
        {% for column in columns %}holders.{{ column }}, {% endfor %}
        entries.key as entry_name,
        cast(entries.value as bigint) as entry_value
    from {{ relation }} as holders
    cross join lateral json_each(holders.{{ json_column }}) as entries
{%- endmacro %}

{% macro postgres__json_entries(relation, columns, json_column) -%}
    select
        {% for column in columns %}holders.{{ column }}, {% endfor %}
        entries.key as entry_name,
        cast(entries.value as bigint) as entry_value
    from {{ relation }} as holders
    cross join lateral json_each_text(cast(holders.{{ json_column }} as json)) as entries
{%- endmacro %}

{% macro redshift__json_entries(relation, columns, json_column) -%}
    select
        {% for column in columns %}holders.{{ column }}, {% endfor %}
        cast(entry_name as varchar(65535)) as entry_name,
        cast(entry_value as bigint) as entry_value
    from (
        select
            {% for column in columns %}{{ column }}, {% endfor %}
            json_parse({{ json_column }}) as parsed
        from {{ relation }}
    ) as holders, unpivot holders.parsed as entry_value at entry_name
{%- endmacro %}
