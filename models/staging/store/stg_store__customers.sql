{% set touched -%}{% raw %}
    select key as customer_id from {{ changes(source('raw', 'store_customers')) }} as changed_rows
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['customer_id'],
    scope=['customer_id'],
    emits={'key': 'customer_id'},
    touched=touched
)) }}

with {{ latest_versions(
    source('raw', 'store_customers'),
    ['id'],
    updated_at='updated_at',
    columns={'id': 'customer_id'}
) }}

select
    'store' as source_system,
    id as customer_id,
    email_token,
    region,
    is_loyalty,
    signup_date,
    updated_at,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from latest
