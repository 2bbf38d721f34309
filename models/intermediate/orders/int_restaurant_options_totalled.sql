{% set touched -%}{% raw %}
    {{ changed_keys(['stg_restaurant__order_item_options'], {'key': 'order_id'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', 'line_id'],
    scope=['order_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

with options as (

    select
        order_id,
        line_id,
        option_price,
        case
            when option_price_basis = 'line_total' then cast(option_price as numeric(38, 8))
            else {{ exact_product('option_quantity', 'option_price') }}
        end as option_amount
    from {{ only_touched(ref('stg_restaurant__order_item_options')) }}

)

select
    'restaurant' as source_system,
    order_id,
    line_id,
    -- Rounded once per line, not once per option.
    {{ rounded_money("coalesce(sum(case when option_price > 0 then option_amount end), 0)") }}
        as option_amount,
    {{ rounded_money("coalesce(sum(case when option_price < 0 then -option_amount end), 0)") }}
        as discount_amount
from options
group by
    order_id,
    line_id
{{ clustered_by(['order_id']) }}
