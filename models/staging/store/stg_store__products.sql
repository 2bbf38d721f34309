with deliveries as (

    select
        *,
        {{ version_rank(['product_id', 'effective_at']) }} as version_rank
    from {{ source('raw', 'store_products') }}

)

select
    {{ surrogate_key(["'store'", 'product_id', 'effective_at']) }} as product_state_key,
    'store' as source_system,
    product_id,
    name as product_name,
    category,
    price as list_price,
    unit_cost,
    effective_at,
    {{ business_date('effective_at', '_business_timezone') }} as effective_date,
    -- The snapshot compares this one column: comparing nullable columns one by one repeats rows.
    {{ surrogate_key(['name', 'category', 'price', 'unit_cost', '_business_timezone']) }} as state_hash,
    _feed,
    _business_timezone,
    _batch_id,
    _load_sequence,
    _row_number,
    _arrived_at
from deliveries
where version_rank = 1
