{% set touched -%}{% raw %}
    select key as order_id from {{ changes(source('raw', 'restaurant_order_item_options')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', '_batch_id', '_row_number'],
    scope=['order_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

-- Equal rows within a delivery are real. `replace_by_line`: the newest delivery that names a line has all of its
-- options. Few lines are named by two deliveries, and finding them costs less than ordering all. Feed and load sequence
-- name a delivery.
with deliveries as (

    select * from {{ only_touched(source('raw', 'restaurant_order_item_options')) }}

),

-- Orders first: they are fewer than lines, and hardly any comes in two deliveries.
redelivered_orders as (

    select order_id
    from (
        select distinct
            order_id,
            _load_sequence,
            _feed
        from deliveries
        where options_mode <> 'append'
    ) as deliveries_of_order
    group by order_id
    having count(*) > 1

),

redelivered as (

    select
        deliveries.order_id,
        deliveries.lineitem_id
    from deliveries
    inner join redelivered_orders
        on deliveries.order_id = redelivered_orders.order_id
    where deliveries.options_mode <> 'append'
    group by
        deliveries.order_id,
        deliveries.lineitem_id
    having
        min(deliveries._load_sequence) <> max(deliveries._load_sequence)
        or min(deliveries._feed) <> max(deliveries._feed)

),

ranked as (

    select
        deliveries.*,
        dense_rank() over (
            partition by deliveries.order_id, deliveries.lineitem_id
            order by
                deliveries._load_sequence desc,
                {{ text_order('deliveries._feed') }} desc
        ) as delivery_rank
    from deliveries
    inner join redelivered
        on
            deliveries.order_id = redelivered.order_id
            and deliveries.lineitem_id = redelivered.lineitem_id
    where deliveries.options_mode <> 'append'

),

latest as (

    select
        deliveries.*,
        1 as delivery_rank
    from deliveries
    where
        deliveries.options_mode = 'append'
        or not exists (
            select 1
            from redelivered
            where
                deliveries.order_id = redelivered.order_id
                and deliveries.lineitem_id = redelivered.lineitem_id
        )

    union all

    select *
    from ranked
    where delivery_rank = 1

)

select
    'restaurant' as source_system,
    order_id,
    lineitem_id as line_id,
    option_group_name,
    option_name,
    option_price_basis,
    options_mode,
    option_price,
    option_quantity,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from latest
