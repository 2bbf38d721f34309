{% set touched -%}{% raw %}
    select key as return_id from {{ changes(source('raw', 'store_returns')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['return_id'],
    scope=['return_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'store_returns'),
    ['id'],
    columns={'id': 'return_id'}
) }},

{{ with_local_time('latest', 'returned_at', 'returned_at_local') }}

select
    'store' as source_system,
    id as return_id,
    order_id,
    line_id,
    reason,
    quantity,
    refund_amount,
    returned_at,
    cast(returned_at_local as date) as return_date,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from localised
