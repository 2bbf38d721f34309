with options as (

    select
        order_id,
        line_id,
        option_price,
        case
            when option_price_basis = 'line_total' then option_price
            else {{ multiply_money('option_quantity', 'option_price') }}
        end as option_amount
    from {{ ref('stg_restaurant__order_item_options') }}

)

select
    'restaurant' as source_system,
    order_id,
    line_id,
    {{ money(sum_money_when('option_price > 0', 'option_amount')) }} as option_amount,
    {{ money(sum_money_when('option_price < 0', '-option_amount')) }} as discount_amount
from options
group by
    order_id,
    line_id
