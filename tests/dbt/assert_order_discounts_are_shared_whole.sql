-- What an order's header takes off arrives on its lines to the last 0.0001.
with shares as (

    select
        order_id,
        {{ sum_money('order_discount_share_amount') }} as shared_amount
    from {{ rows_to_check(ref('int_order_discounts_shared')) }}
    group by order_id

)

select
    orders.order_id,
    orders.order_discount_amount,
    shares.shared_amount
from shares
inner join {{ ref('stg_store__orders') }} as orders
    on shares.order_id = orders.order_id
where shares.shared_amount <> orders.order_discount_amount
