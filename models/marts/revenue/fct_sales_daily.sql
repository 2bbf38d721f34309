with sales as (

    select
        source_system,
        location_key,
        category,
        day_part,
        order_date as sales_date,
        count(distinct order_key) as orders,
        {{ sum_money('quantity') }} as units,
        {{ sum_money('gross_amount') }} as gross_revenue,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales
    from {{ ref('fct_order_items') }}
    where is_booked
    group by
        source_system,
        location_key,
        category,
        day_part,
        order_date

)

select
    {{ surrogate_key(['source_system', 'location_key', 'category', 'day_part', 'sales_date']) }}
        as sales_day_key,
    location_key,

    source_system,
    category,
    day_part,

    cast(orders as bigint) as orders,
    units,
    gross_revenue,
    discounts,
    net_sales,

    sales_date
from sales
