{% macro normalised_text(expression) -%}
    {{ return(adapter.dispatch('normalised_text')(expression)) }}
{%- endmacro %}

{% macro default__normalised_text(expression) -%}
    trim(both ' ' from nfc_normalize({{ expression }}))
{%- endmacro %}

{% macro postgres__normalised_text(expression) -%}
    trim(both ' ' from normalize({{ expression }}, nfc))
{%- endmacro %}

{# No Unicode normalisation there: a name that arrives decomposed stays another name. #}
{% macro redshift__normalised_text(expression) -%}
    trim(both ' ' from {{ expression }})
{%- endmacro %}
