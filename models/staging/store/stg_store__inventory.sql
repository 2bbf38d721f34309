{% set touched -%}{% raw %}
    select
        day as snapshot_date,
        key as product_id
    from {{ changes(source('raw', 'store_inventory')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['snapshot_date', 'product_id'],
    scope=['snapshot_date', 'product_id'],
    emits={'key': 'product_id', 'day': 'snapshot_date'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'store_inventory'),
    ['snapshot_date', 'product_id']
) }}

select
    'store' as source_system,
    product_id,
    on_hand,
    allocated,
    reorder_point,
    snapshot_date,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from latest
