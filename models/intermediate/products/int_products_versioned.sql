{{ config(**incremental_by_change(
    row_key=['product_version_key'],
    emits={'key': 'product_id', 'day': 'valid_from_date'},
    follows_from_others=['valid_to', 'valid_to_date']
)) }}

-- Versions come from what is believed now: a state that was corrected or taken back is in the snapshot only.
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
        row_number() over (partition by product_id order by effective_at) as state_number
    from {{ ref('snap_store__products') }}
    where dbt_valid_to is null

),

-- Equal neighbours collapse into the earlier one.
changes as (

    select
        states.source_system,
        states.product_id,
        states.product_name,
        states.category,
        states.list_price,
        states.unit_cost,
        states.effective_at,
        states.effective_date
    from states
    left join states as previous_states
        on
            states.product_id = previous_states.product_id
            and states.state_number = previous_states.state_number + 1
    where
        previous_states.product_id is null
        or not (
            {{ is_same('states.product_name', 'previous_states.product_name') }}
            and {{ is_same('states.category', 'previous_states.category') }}
            and {{ is_same('states.list_price', 'previous_states.list_price') }}
            and {{ is_same('states.unit_cost', 'previous_states.unit_cost') }}
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
    lead(effective_at) over (partition by product_id order by effective_at) as valid_to,
    effective_date as valid_from_date,
    lead(effective_date) over (partition by product_id order by effective_at) as valid_to_date
from changes
