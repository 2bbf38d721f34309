{% macro money(expression) -%}
    cast({{ expression }} as numeric(18, 4))
{%- endmacro %}

{# Every engine rounds decimals half away from zero, and says so only of round(): a bare cast may cut. #}
{% macro rounded_money(expression) -%}
    cast(round({{ expression }}, 4) as numeric(18, 4))
{%- endmacro %}

{# The casts before the product keep it inside 38 digits on every engine: 19 + 18 digits, 8 decimals. #}
{% macro exact_product(quantity, unit_amount) -%}
    cast(
        cast({{ quantity }} as numeric(19, 4)) * cast({{ unit_amount }} as numeric(18, 4)) as numeric(38, 8)
    )
{%- endmacro %}

{# Most quantities are 1, and arithmetic of that width is dear. #}
{% macro multiply_money(quantity, unit_amount) -%}
    case
        when {{ quantity }} = 1 then {{ money(unit_amount) }}
        else {{ rounded_money(exact_product(quantity, unit_amount)) }}
    end
{%- endmacro %}

{# 19 + 18 digits, 12 decimals. Most amounts are in the reporting currency, and arithmetic of that width is dear. #}
{% macro convert_money(amount, rate) -%}
    case
        when {{ rate }} = 1 then {{ money(amount) }}
        else {{ rounded_money('cast(' ~ amount ~ ' as numeric(19, 4)) * cast(' ~ rate ~ ' as numeric(18, 8))') }}
    end
{%- endmacro %}

{% macro sum_money(expression) -%}
    cast(coalesce(sum({{ expression }}), 0) as numeric(38, 4))
{%- endmacro %}
