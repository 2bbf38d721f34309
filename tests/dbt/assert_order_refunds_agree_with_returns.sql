{{ config(tags=['weekly']) }}

-- What an order has had refunded is the sum of its returns, whatever their dates.
with returns as (

    select
        order_key,
        {{ sum_money('eligible_refund_amount') }} as refunds
    from {{ ref('fct_returns') }}
    where eligible_refund_amount <> 0
    group by order_key

),

orders as (

    select
        order_key,
        refund_amount
    from {{ ref('fct_orders') }}
    where refund_amount <> 0

)

select
    coalesce(orders.order_key, returns.order_key) as order_key,
    orders.refund_amount as order_refunds,
    returns.refunds as return_refunds
from orders
full outer join returns
    on orders.order_key = returns.order_key
where coalesce(orders.refund_amount, 0) <> coalesce(returns.refunds, 0)
