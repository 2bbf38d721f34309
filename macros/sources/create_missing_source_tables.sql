{# One text of statements, empty where nothing is declared: dbt runs what the hook returns. #}
{% macro create_missing_source_tables() -%}
    {%- if execute -%}
        {%- set sources = graph.sources.values() | selectattr('package_name', 'equalto', project_name) | list -%}
        {%- for schema in sources | map(attribute='schema') | unique | sort %}
            create schema if not exists {{ schema }};
        {%- endfor -%}
        {%- for source in sources %}
            create table if not exists {{ source.schema }}.{{ source.identifier }} (
                {%- for column in source.columns.values() %}
                {{ column.name }} {{ text_type() | trim if column.data_type == 'varchar' else column.data_type }}{{ ',' if not loop.last }}
                {%- endfor %}
            );
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
