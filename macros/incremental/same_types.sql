{#
    On Postgres a contract's `varchar` makes a column of type character varying, and the rows to insert come as text.
    Without a length the two are one type; dbt would call the model out of sync with its table.
#}
{% macro postgres__diff_column_data_types(source_columns, target_columns) -%}
    {%- set differing = [] -%}
    {%- for found in default__diff_column_data_types(source_columns, target_columns) -%}
        {%- set here = source_columns | selectattr('name', 'equalto', found.column_name) | first -%}
        {%- set there = target_columns | selectattr('name', 'equalto', found.column_name) | first -%}
        {%- set are_texts = here.is_string() and there.is_string() -%}
        {%- if not are_texts or here.char_size or there.char_size -%}{%- do differing.append(found) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(differing) }}
{%- endmacro %}
