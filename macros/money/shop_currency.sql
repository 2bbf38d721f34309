{# One row: the currency of the shop's orders where they have only one, null otherwise. Payments name none. #}
{% macro shop_currency() -%}
    select case when min(currency) = max(currency) then min(currency) end as currency
    from {{ ref('int_orders_united') }}
    where source_system = 'store'
{%- endmacro %}
