{% set touched -%}{% raw %}
    {{ changed_keys(['int_orders_united'], {'customer_key': 'customer_key'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'customer_id'],
    scope=['customer_key'],
    emits={'key': 'customer_id', 'customer_key': 'customer_key'},
    touched=touched
)) }}

-- The as-of date has no part in it: a date that it has reached is told later from one that it has not, so that the row
-- of a customer changes only where an order of the customer does.
with orders as (

    select
        source_system,
        customer_id,
        is_loyalty,
        is_booked,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}
    where customer_id is not null

)

select
    {{ surrogate_key(['source_system', 'customer_id']) }} as customer_key,

    source_system,
    customer_id,

    min(order_date) as first_placed_order_date,
    min(case when is_booked then order_date end) as first_order_date,
    min(case when is_booked and is_loyalty then order_date end) as first_loyal_order_date
from orders
group by
    source_system,
    customer_id
