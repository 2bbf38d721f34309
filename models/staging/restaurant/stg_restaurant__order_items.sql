{% set touched -%}{% raw %}
    select key as order_id from {{ changes(source('raw', 'restaurant_order_items')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', 'line_id'],
    scope=['order_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'restaurant_order_items'),
    ['order_id', 'lineitem_id']
) }}

select
    'restaurant' as source_system,
    order_id,
    lineitem_id as line_id,
    restaurant_id as location_id,
    user_id as customer_id,
    app_name as sales_channel,
    currency,
    printed_card_last_four,
    item_category as category,
    {{ normalised_text('item_name') }} as item_name,
    item_price_basis,
    item_quantity as quantity,
    item_price,
    is_loyalty,
    creation_time_utc as ordered_at,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from latest
