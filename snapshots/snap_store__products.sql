{% snapshot snap_store__products %}

{{
    config(
        unique_key='product_state_key',
        strategy='check',
        check_cols=['state_hash'],
        hard_deletes='invalidate',
    )
}}

select
    product_state_key,
    source_system,
    product_id,
    product_name,
    category,
    list_price,
    unit_cost,
    effective_at,
    effective_date,
    state_hash
from {{ ref('stg_store__products') }}

{% endsnapshot %}
