-- Booked orders of identified customers only: guests and unbooked orders have no place in a sequence.
select
    order_key,
    row_number() over (
        partition by customer_key
        order by ordered_at, {{ text_order('order_id') }}
    ) as order_sequence,
    min(order_date) over (partition by customer_key) as customer_first_order_date
from {{ ref('int_orders_united') }}
where
    is_booked
    and customer_key is not null
