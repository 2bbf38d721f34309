-- A delivery that the ledger calls loaded has its rows counted: without counts its rows never came, and no
-- later run would load them.
select
    deliveries.batch_id,
    deliveries.feed,
    deliveries.object_name
from {{ ref('quality_deliveries') }} as deliveries
left join {{ ref('quality_file_conservation') }} as counted
    on deliveries.batch_id = counted.batch_id
where
    deliveries.status = 'loaded'
    and counted.batch_id is null
