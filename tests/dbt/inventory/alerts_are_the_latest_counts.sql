-- No product in alert is missing and none is listed for an older count: the list is what gets ordered.
with latest as (

    select
        product_key,
        max(snapshot_date) as snapshot_date
    from {{ ref('fct_inventory_daily') }}
    {% if var('as_of_date') %}
        where snapshot_date <= cast('{{ var("as_of_date") }}' as date)
    {% endif %}
    group by product_key

),

due as (

    select
        counts.product_key,
        counts.snapshot_date,
        counts.available
    from {{ ref('fct_inventory_daily') }} as counts
    inner join latest
        on
            counts.product_key = latest.product_key
            and counts.snapshot_date = latest.snapshot_date
    where counts.is_alert

)

select
    coalesce(due.product_key, alerts.product_key) as product_key,
    due.snapshot_date as counted_on,
    alerts.snapshot_date as listed_for
from due
full outer join {{ ref('mart_inventory_alerts') }} as alerts
    on due.product_key = alerts.product_key
where
    due.product_key is null
    or alerts.product_key is null
    or due.snapshot_date <> alerts.snapshot_date
    or due.available <> alerts.available
