{% set touched -%}{% raw %}
    {{ changed_keys(['int_orders_united'], {'customer_key': 'customer_key'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id'],
    scope=['customer_key'],
    emits={'key': 'order_id', 'customer_key': 'customer_key', 'day': 'order_date'},
    touched=touched
)) }}

-- Booked orders of identified customers only: guests and unbooked orders have no place in a sequence.
select
    customer_key,
    source_system,
    order_id,
    row_number() over (
        partition by customer_key
        order by ordered_at, {{ text_order('order_id') }}
    ) as order_sequence,
    order_date,
    min(order_date) over (partition by customer_key) as customer_first_order_date
from {{ only_touched(ref('int_orders_united')) }}
where
    is_booked
    and customer_key is not null
{{ clustered_by(['source_system', 'order_date']) }}
