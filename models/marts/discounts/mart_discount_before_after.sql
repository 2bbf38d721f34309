{% set window_days = var('discount_window_days') %}

with days as (

    select
        source_system,
        product_key,
        orders,
        net_sales,
        is_discounted,
        sales_date
    from {{ ref('int_product_days_summarised') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

counted_days as (

    select
        days.source_system,
        days.product_key,
        days.orders,
        days.net_sales,
        days.is_discounted,
        days.sales_date,
        as_of_dates.as_of_date
    from days
    inner join as_of_dates
        on days.source_system = as_of_dates.source_system
    where days.sales_date <= as_of_dates.as_of_date

),

discounted_products as (

    select
        source_system,
        product_key,
        min(sales_date) as first_sale_date,
        min(case when is_discounted then sales_date end) as first_discount_date,
        as_of_date
    from counted_days
    group by
        source_system,
        product_key,
        as_of_date
    having min(case when is_discounted then sales_date end) is not null

),

placed_days as (

    select
        products.product_key,
        days.orders,
        days.net_sales,
        {{ days_between('products.first_discount_date', 'days.sales_date') }} as day_number
    from discounted_products as products
    inner join counted_days as days
        on products.product_key = days.product_key

),

-- An order has one day, so distinct orders of a product add up over days.
compared as (

    select
        product_key,
        {{ sum_money_when('day_number < 0', 'orders') }} as orders_before,
        {{ sum_money_when('day_number >= 0', 'orders') }} as orders_after,
        {{ sum_money_when('day_number < 0', 'net_sales') }} as net_sales_before,
        {{ sum_money_when('day_number >= 0', 'net_sales') }} as net_sales_after
    from placed_days
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
