{# `is not distinct from` is missing on Redshift. #}
{% macro is_same(left_expression, right_expression) -%}
    coalesce(
        {{ left_expression }} = {{ right_expression }},
        {{ left_expression }} is null and {{ right_expression }} is null
    )
{%- endmacro %}
