-- Equal rows within a delivery are real. `replace_by_line`: the newest delivery that names a line has all of its
-- options.
with deliveries as (

    select
        *,
        dense_rank() over (
            partition by order_id, lineitem_id, options_mode
            order by _load_sequence desc, {{ text_order('_feed') }} desc, {{ text_order('_batch_id') }} desc
        ) as delivery_rank
    from {{ source('raw', 'restaurant_order_item_options') }}

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
from deliveries
where
    options_mode = 'append'
    or delivery_rank = 1
