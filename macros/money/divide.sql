{% macro divide(numerator, denominator) -%}
    (cast({{ numerator }} as double precision) / nullif(cast({{ denominator }} as double precision), 0))
{%- endmacro %}

{% macro change_rate(current_amount, previous_amount) -%}
    {{ divide('((' ~ current_amount ~ ') - (' ~ previous_amount ~ '))', previous_amount) }}
{%- endmacro %}

{% macro integer_quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch('integer_quotient')(dividend, divisor)) }}
{%- endmacro %}

{% macro default__integer_quotient(dividend, divisor) -%}
    (cast({{ dividend }} as hugeint) // cast({{ divisor }} as hugeint))
{%- endmacro %}

{% macro postgres__integer_quotient(dividend, divisor) -%}
    div(cast({{ dividend }} as numeric(38, 0)), cast({{ divisor }} as numeric(38, 0)))
{%- endmacro %}

{# Division there cuts decimals: only a dividend without remainder divides exactly. #}
{% macro redshift__integer_quotient(dividend, divisor) -%}
    cast(
        (
            cast({{ dividend }} as numeric(38, 0))
            - mod(cast({{ dividend }} as numeric(38, 0)), cast({{ divisor }} as numeric(38, 0)))
        ) / cast({{ divisor }} as numeric(38, 0)) as numeric(38, 0)
    )
{%- endmacro %}

{% macro integer_remainder(dividend, divisor) -%}
    mod(cast({{ dividend }} as numeric(38, 0)), cast({{ divisor }} as numeric(38, 0)))
{%- endmacro %}
