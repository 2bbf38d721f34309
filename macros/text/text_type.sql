{% macro text_type() -%}
    {{ return(adapter.dispatch('text_type')()) }}
{%- endmacro %}

{% macro default__text_type() -%}
    varchar
{%- endmacro %}

{# A bare varchar is cut at 256 bytes there. #}
{% macro redshift__text_type() -%}
    varchar(65535)
{%- endmacro %}
