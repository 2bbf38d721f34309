with days as (

    select
        location_key,
        source_system,
        orders,
        lines,
        lines_with_cost,
        units,
        gross_revenue,
        discounts,
        net_sales,
        gross_margin,
        is_discounted,
        {{ start_of('month', 'activity_date') }} as month_start
    from {{ ref('int_order_groups_summarised') }}

),

combined as (

    select
        location_key,
        source_system,
        sum(orders) as orders,
        sum(lines) as lines,
        sum(lines_with_cost) as lines_with_cost,
        {{ sum_money('units') }} as units,
        {{ sum_money('gross_revenue') }} as gross_revenue,
        {{ sum_money('discounts') }} as discounts,
        {{ sum_money('net_sales') }} as net_sales,
        -- Not coalesced: without a known cost there is no margin, which is not a margin of 0.
        sum(gross_margin) as gross_margin,
        is_discounted,
        month_start
    from days
    group by
        location_key,
        source_system,
        is_discounted,
        month_start

)

select
    location_key,

    source_system,

    cast(orders as bigint) as orders,
    gross_revenue,
    discounts,
    net_sales,
    {{ divide('net_sales', 'orders') }} as average_order_value,
    {{ divide('units', 'orders') }} as units_per_order,
    cast(gross_margin as numeric(38, 4)) as gross_margin,
    {{ divide('lines_with_cost', 'lines') }} as lines_with_cost_share,
    {{ divide('discounts', 'gross_revenue') }} as discount_rate,

    is_discounted,

    month_start
from combined
