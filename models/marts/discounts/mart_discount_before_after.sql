{% set window_days = var('discount_window_days') %}

with lines as (

    select
        source_system,
        product_key,
        order_key,
        discount_amount,
        net_sales_amount,
        order_date
    from {{ ref('fct_order_items') }}
    where is_booked

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

counted_lines as (

    select
        lines.source_system,
        lines.product_key,
        lines.order_key,
        lines.discount_amount,
        lines.net_sales_amount,
        lines.order_date,
        as_of_dates.as_of_date
    from lines
    inner join as_of_dates
        on lines.source_system = as_of_dates.source_system
    where lines.order_date <= as_of_dates.as_of_date

),

discounted_products as (

    select
        source_system,
        product_key,
        min(order_date) as first_sale_date,
        min(case when discount_amount > 0 then order_date end) as first_discount_date,
        as_of_date
    from counted_lines
    group by
        source_system,
        product_key,
        as_of_date
    having min(case when discount_amount > 0 then order_date end) is not null

),

placed_lines as (

    select
        products.product_key,
        lines.order_key,
        lines.net_sales_amount,
        {{ days_between('products.first_discount_date', 'lines.order_date') }} as day_number
    from discounted_products as products
    inner join counted_lines as lines
        on products.product_key = lines.product_key

),

compared as (

    select
        product_key,
        {{ count_distinct_when('day_number < 0', 'order_key') }} as orders_before,
        {{ count_distinct_when('day_number >= 0', 'order_key') }} as orders_after,
        {{ sum_money_when('day_number < 0', 'net_sales_amount') }} as net_sales_before,
        {{ sum_money_when('day_number >= 0', 'net_sales_amount') }} as net_sales_after
    from placed_lines
    where day_number between -{{ window_days }} and {{ window_days - 1 }}
    group by product_key

),

observed as (

    select
        products.product_key,
        products.source_system,
        compared.orders_before,
        compared.orders_after,
        compared.net_sales_before,
        compared.net_sales_after,
        {{ days_between('products.first_sale_date', 'products.first_discount_date') }} >= {{ window_days }}
        and {{ days_between('products.first_discount_date', 'products.as_of_date') }} >= {{ window_days - 1 }}
            as is_fully_observed,
        products.first_sale_date,
        products.first_discount_date,
        products.as_of_date
    from discounted_products as products
    inner join compared
        on products.product_key = compared.product_key

)

select
    product_key,

    source_system,

    cast(orders_before as bigint) as orders_before,
    cast(orders_after as bigint) as orders_after,
    net_sales_before,
    net_sales_after,
    case when is_fully_observed then {{ change_rate('orders_after', 'orders_before') }} end
        as orders_change_rate,
    case when is_fully_observed then {{ change_rate('net_sales_after', 'net_sales_before') }} end
        as net_sales_change_rate,

    is_fully_observed,

    first_sale_date,
    first_discount_date,
    as_of_date
from observed
