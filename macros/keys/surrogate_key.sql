{# The two control characters cannot stand in a loaded value: contracts strip or refuse them. #}
{% macro surrogate_key(columns) -%}
    md5(
        {%- for column in columns -%}
            coalesce(cast({{ column }} as {{ text_type() }}), chr(30))
            {%- if not loop.last %} || chr(31) || {% endif -%}
        {%- endfor -%}
    )
{%- endmacro %}
