{% macro text_order(expression) -%}
    {{ return(adapter.dispatch('text_order')(expression)) }}
{%- endmacro %}

{% macro default__text_order(expression) -%}
    {{ expression }}
{%- endmacro %}

{% macro postgres__text_order(expression) -%}
    {{ expression }} collate "C"
{%- endmacro %}

{# Its adapter would take the one above; it compares by code point anyway. #}
{% macro redshift__text_order(expression) -%}
    {{ expression }}
{%- endmacro %}
