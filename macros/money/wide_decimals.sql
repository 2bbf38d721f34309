{#
    The columns of a contracted table. DuckDB packs the bits of 38-digit decimals, and unpacks them forty times slower than
    it reads them as they are: at the fact of orders they are a third of the columns and were five sixths of what reading
    its rows costs, which a daily run does several times.
#}
{% macro duckdb__get_table_columns_and_constraints() -%}
    {%- set columns = [] -%}
    {%- for column in adapter.render_raw_columns_constraints(raw_columns=model['columns']) -%}
        {%- do columns.append(column ~ (' using compression uncompressed' if 'numeric(38' in column)) -%}
    {%- endfor -%}
    ({{ (columns + adapter.render_raw_model_constraints(raw_constraints=model['constraints'])) | join(', ') }})
{%- endmacro %}
