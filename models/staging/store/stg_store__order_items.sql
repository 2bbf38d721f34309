{% set touched -%}{% raw %}
    select key as order_id from {{ changes(source('raw', 'store_order_items')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', 'line_id'],
    scope=['order_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'store_order_items'),
    ['order_id', 'line_id'],
    columns={'order_id': 'order_id'}
) }}

select
    'store' as source_system,
    order_id,
    line_id,
    product_id,
    quantity,
    unit_price,
    coalesce(discount_amount, 0) as discount_amount,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from latest
