-- Versions come from what is believed now: a state that a delivery corrected or took back is in the snapshot only.
with states as (

    select
        source_system,
        product_id,
        product_name,
        category,
        list_price,
        unit_cost,
        effective_at,
        effective_date,
        lag(effective_at) over (partition by source_system, product_id order by effective_at) as previous_effective_at,
        lag(product_name) over (partition by source_system, product_id order by effective_at) as previous_product_name,
        lag(category) over (partition by source_system, product_id order by effective_at) as previous_category,
        lag(list_price) over (partition by source_system, product_id order by effective_at) as previous_list_price,
        lag(unit_cost) over (partition by source_system, product_id order by effective_at) as previous_unit_cost
    from {{ ref('snap_store__products') }}
    where dbt_valid_to is null

),

changes as (

    select
        source_system,
        product_id,
        product_name,
        category,
        list_price,
        unit_cost,
        effective_at,
        effective_date
    from states
    where
        previous_effective_at is null
        or not (
            {{ is_same('product_name', 'previous_product_name') }}
            and {{ is_same('category', 'previous_category') }}
            and {{ is_same('list_price', 'previous_list_price') }}
            and {{ is_same('unit_cost', 'previous_unit_cost') }}
        )

)

select
    {{ surrogate_key(['source_system', 'product_id', 'effective_at']) }} as product_version_key,
    {{ surrogate_key(['source_system', 'product_id']) }} as product_key,
    source_system,
    product_id,
    product_name,
    category,
    list_price,
    unit_cost,
    effective_at as valid_from,
    lead(effective_at) over (partition by source_system, product_id order by effective_at) as valid_to,
    effective_date as valid_from_date,
    lead(effective_date) over (partition by source_system, product_id order by effective_at) as valid_to_date
from changes
