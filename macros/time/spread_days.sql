{% macro spread_days(relation, day, first_offset, last_offset, name) -%}
    {%- for offset in range(first_offset, last_offset + 1) %}
    select {{ add_days(day, offset) }} as {{ name }} from {{ relation }}
    {{- ' union all' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
