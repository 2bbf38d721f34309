{% set touched -%}{% raw %}
    select key as payment_id from {{ changes(source('raw', 'store_payments')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['payment_id'],
    scope=['payment_id'],
    emits={'key': 'order_id'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'store_payments'),
    ['id'],
    columns={'id': 'payment_id'}
) }},

{{ with_local_time('latest', 'coalesce(paid_at, created_at)', 'paid_or_created_at_local') }}

select
    'store' as source_system,
    id as payment_id,
    order_id,
    status,
    method,
    amount,
    created_at,
    paid_at,
    cast(paid_or_created_at_local as date) as payment_date,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from localised
