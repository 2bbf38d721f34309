{% set touched -%}{% raw %}
    select key as order_id from {{ changes(source('raw', 'store_orders')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id'],
    scope=['order_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'store_orders'),
    ['id'],
    updated_at='updated_at',
    columns={'id': 'order_id'}
) }},

{{ with_local_time('latest', 'created_at', 'created_at_local') }}

select
    'store' as source_system,
    id as order_id,
    customer_id,
    location_id,
    currency,
    status,
    total_amount,
    tax_amount,
    shipping_amount,
    coalesce(discount_amount, 0) as order_discount_amount,
    tip_amount,
    is_loyalty,
    created_at as ordered_at,
    created_at_local as ordered_at_local,
    cast(created_at_local as date) as order_date,
    updated_at,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from localised
