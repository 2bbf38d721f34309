{# The casts before the product keep it inside 38 digits on every engine: 19 + 18 digits, 8 or 12 decimals. #}
{% macro money(expression) -%}
    cast({{ expression }} as numeric(18, 4))
{%- endmacro %}

{% macro multiply_money(quantity, unit_amount) -%}
    cast(
        round(cast({{ quantity }} as numeric(19, 4)) * cast({{ unit_amount }} as numeric(18, 4)), 4) as numeric(18, 4)
    )
{%- endmacro %}

{% macro convert_money(amount, rate) -%}
    cast(
        round(cast({{ amount }} as numeric(19, 4)) * cast({{ rate }} as numeric(18, 8)), 4) as numeric(18, 4)
    )
{%- endmacro %}

{% macro sum_money(expression) -%}
    cast(coalesce(sum({{ expression }}), 0) as numeric(38, 4))
{%- endmacro %}
