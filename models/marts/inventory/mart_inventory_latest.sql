{% set as_of_date = var('as_of_date') %}

with counts as (

    select
        source_system,
        product_key,
        product_id,
        on_hand,
        allocated,
        available,
        reorder_point,
        days_of_cover,
        is_alert,
        is_stockout,
        snapshot_date
    from {{ ref('fct_inventory_daily') }}
    -- Stock is counted also on days without an order, so only a date that was asked for cuts the counts.
    {% if as_of_date %}
    where snapshot_date <= cast('{{ as_of_date }}' as date)
    {% endif %}

),

products as (

    select
        product_key,
        product_name,
        category,
        is_discontinued
    from {{ ref('dim_product') }}
    where is_current

),

sequenced as (

    select
        source_system,
        product_key,
        product_id,
        on_hand,
        allocated,
        available,
        reorder_point,
        days_of_cover,
        is_alert,
        is_stockout,
        snapshot_date,
        row_number() over (partition by product_key order by snapshot_date desc) as counts_ago,
        -- Zero as long as no count between this one and the latest was out of alert.
        sum(case when is_alert then 0 else 1 end) over (
            partition by product_key
            order by snapshot_date desc
            rows between unbounded preceding and current row
        ) as calm_counts_since
    from counts

),

streaks as (

    select
        product_key,
        count(*) as days_in_alert
    from sequenced
    where calm_counts_since = 0
    group by product_key

),

latest as (

    select
        source_system,
        product_key,
        product_id,
        on_hand,
        allocated,
        available,
        reorder_point,
        days_of_cover,
        is_alert,
        is_stockout,
        snapshot_date
    from sequenced
    where counts_ago = 1

)

select
    latest.product_key,
    latest.product_id,

    latest.source_system,
    products.product_name,
    products.category,

    latest.on_hand,
    latest.allocated,
    latest.available,
    latest.reorder_point,
    cast(coalesce(streaks.days_in_alert, 0) as bigint) as days_in_alert,
    latest.days_of_cover,

    latest.is_alert,
    latest.is_stockout,
    products.is_discontinued,

    latest.snapshot_date
from latest
left join streaks
    on latest.product_key = streaks.product_key
left join products
    on latest.product_key = products.product_key
