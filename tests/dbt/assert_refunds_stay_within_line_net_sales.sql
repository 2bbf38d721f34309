{{ config(tags=['weekly']) }}

-- The cap that keeps a line's net revenue from going below zero by refunds.
with refunds as (

    select
        order_item_key,
        {{ sum_money('eligible_refund_amount') }} as refund_amount
    from {{ ref('fct_returns') }}
    where eligible_refund_amount <> 0
    group by order_item_key

)

select
    lines.order_item_key,
    lines.net_sales_amount,
    refunds.refund_amount
from refunds
inner join {{ ref('fct_order_items') }} as lines
    on refunds.order_item_key = lines.order_item_key
where refunds.refund_amount > lines.net_sales_amount
