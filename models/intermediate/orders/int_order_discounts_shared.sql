{% set touched -%}{% raw %}
    {{ changed_keys(
        ['stg_store__orders', 'stg_store__order_items'],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', 'line_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

-- Largest remainder in units of 0.0001: every line gets its whole units, the leftover units go to the largest
-- remainders, ties to the smaller line id, so the shares add up to the order's discount exactly.
-- A line's weight is what its own discount left of it. Where nothing is left on any line, nothing can be
-- shared: the order shows the difference to its header.
with discounted_orders as (

    select
        source_system,
        order_id,
        order_discount_amount
    from {{ only_touched(ref('stg_store__orders')) }}
    where order_discount_amount <> 0

),

lines as (

    select
        items.source_system,
        items.order_id,
        items.line_id,
        orders.order_discount_amount,
        {{ multiply_money('items.quantity', 'items.unit_price') }} - items.discount_amount as remaining_amount
    from {{ only_touched(ref('stg_store__order_items'), alias='items') }}
    inner join discounted_orders as orders
        on items.order_id = orders.order_id

),

weighed as (

    select
        source_system,
        order_id,
        line_id,
        case when order_discount_amount < 0 then -1 else 1 end as direction,
        cast(cast(abs(order_discount_amount) as numeric(23, 4)) * 10000 as numeric(19, 0)) as discount_units,
        cast(cast(remaining_amount as numeric(23, 4)) * 10000 as numeric(18, 0)) as weight
    from lines

),

totalled as (

    select
        source_system,
        order_id,
        line_id,
        direction,
        discount_units,
        discount_units * weight as weighed_units,
        sum(weight) over (partition by order_id) as total_weight
    from weighed

),

divided as (

    select
        source_system,
        order_id,
        line_id,
        direction,
        discount_units,
        cast({{ integer_quotient('weighed_units', 'total_weight') }} as numeric(38, 0)) as whole_units,
        {{ integer_remainder('weighed_units', 'total_weight') }} as remainder
    from totalled
    where total_weight > 0

),

ranked as (

    select
        source_system,
        order_id,
        line_id,
        direction,
        whole_units,
        discount_units - sum(whole_units) over (partition by order_id) as leftover_units,
        row_number() over (
            partition by order_id
            order by remainder desc, {{ text_order('line_id') }} asc
        ) as remainder_rank
    from divided

)

select
    source_system,
    order_id,
    line_id,
    cast(
        direction
        * cast(whole_units + case when remainder_rank <= leftover_units then 1 else 0 end as numeric(19, 0))
        * 0.0001 as numeric(18, 4)
    ) as order_discount_share_amount
from ranked
{{ clustered_by(['order_id']) }}
