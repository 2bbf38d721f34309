-- A product counts as delisted when a full extract of its feed came after the last delivery that names it.
-- An extract without a single accepted row leaves no trace in raw, so it delists nothing.
with deliveries as (

    select
        product_id,
        _feed,
        max(_load_sequence) as last_load_sequence
    from {{ source('raw', 'store_products') }}
    group by
        product_id,
        _feed

),

newest_extracts as (

    select
        _feed,
        max(_load_sequence) as newest_extract_sequence
    from {{ source('raw', 'store_products') }}
    where _delivery_mode = 'full_extract'
    group by _feed

)

select
    'store' as source_system,
    deliveries.product_id,
    min(
        case
            when deliveries.last_load_sequence < newest_extracts.newest_extract_sequence then 1
            else 0
        end
    ) = 1 as is_discontinued
from deliveries
left join newest_extracts
    on deliveries._feed = newest_extracts._feed
group by deliveries.product_id
