{% set touched -%}{% raw %}
    {{ changed_keys(
        [
            'int_orders_united', 'stg_store__order_items', 'int_order_discounts_shared', 'stg_restaurant__order_items',
            'int_restaurant_options_totalled'
        ],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}

    union all

    -- Orders of a product since the first of its changed versions; a day earlier covers every time zone.
    select
        lines.source_system,
        lines.order_id
    from (
        select
            source_system,
            key as product_id,
            {{ add_days('min(day)', -1) }} as first_date
        from {{ changes(ref('int_products_versioned')) }} as changed_versions
        group by
            source_system,
            key
    ) as products
    inner join {{ this }} as lines
        on
            products.product_id = lines.product_id
            and products.source_system = lines.source_system
    where lines.order_date >= products.first_date
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id', 'line_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'day': 'order_date'},
    touched=touched
)) }}

with orders as (

    select
        order_key,
        customer_key,
        location_key,
        source_system,
        order_id,
        currency,
        day_part,
        exchange_rate,
        is_booked,
        ordered_at,
        ordered_at_local,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}

),

-- An end in place of an open one: with `or` in the join engines compare every line with every version.
versions as (

    select
        product_version_key,
        source_system,
        product_id,
        category,
        list_price,
        unit_cost,
        valid_from,
        coalesce(valid_to, cast('9999-12-31 00:00:00' as timestamp)) as valid_to
    from {{ ref('int_products_versioned') }}

),

exchange_rates as (

    select
        currency,
        exchange_rate,
        date_day
    from {{ ref('int_exchange_rates_daily') }}

),

-- Amounts in transaction currency; list price and cost in the reporting currency, as the catalogue is. A line takes
-- time, place and booking from its order, never from itself.
store_lines as (

    select
        items.source_system,
        items.order_id,
        items.line_id,
        items.product_id,
        versions.product_version_key,
        versions.category,
        orders.currency,
        orders.exchange_rate,
        items.quantity,
        items.unit_price,
        {{ multiply_money('items.quantity', 'items.unit_price') }} as item_amount,
        cast(0 as numeric(18, 4)) as option_amount,
        {{ money('items.discount_amount + coalesce(shares.order_discount_share_amount, 0)') }}
            as discount_amount,
        {{ multiply_money('items.quantity', 'versions.list_price') }} as list_price_amount,
        {{ multiply_money('items.quantity', 'versions.unit_cost') }} as cost_amount,
        orders.order_key,
        orders.customer_key,
        orders.location_key,
        orders.day_part,
        orders.is_booked,
        orders.ordered_at,
        orders.ordered_at_local,
        orders.order_date
    from {{ only_touched(ref('stg_store__order_items'), alias='items') }}
    left join orders
        on
            items.source_system = orders.source_system
            and items.order_id = orders.order_id
    left join {{ only_touched(ref('int_order_discounts_shared'), alias='shares') }}
        on
            items.order_id = shares.order_id
            and items.line_id = shares.line_id
    left join versions
        on
            items.source_system = versions.source_system
            and items.product_id = versions.product_id
            and orders.ordered_at >= versions.valid_from
            and orders.ordered_at < versions.valid_to

),

restaurant_lines as (

    select
        items.source_system,
        items.order_id,
        items.line_id,
        items.item_name as product_id,
        {{ surrogate_key(['items.source_system', 'items.item_name', "'only version'"]) }}
            as product_version_key,
        items.category,
        items.currency,
        -- A line may name another currency than the order's first line.
        case
            when items.currency = orders.currency then orders.exchange_rate
            when items.currency = '{{ reporting_currency() }}' then cast(1 as numeric(18, 8))
            else exchange_rates.exchange_rate
        end as exchange_rate,
        items.quantity,
        -- A line total of several units names no unit price.
        case
            when items.item_price_basis <> 'line_total' or items.quantity = 1 then items.item_price
        end as unit_price,
        case
            when items.item_price_basis = 'line_total' then items.item_price
            else {{ multiply_money('items.quantity', 'items.item_price') }}
        end as item_amount,
        coalesce(options.option_amount, 0) as option_amount,
        coalesce(options.discount_amount, 0) as discount_amount,
        cast(null as numeric(18, 4)) as list_price_amount,
        cast(null as numeric(18, 4)) as cost_amount,
        orders.order_key,
        orders.customer_key,
        orders.location_key,
        orders.day_part,
        orders.is_booked,
        orders.ordered_at,
        orders.ordered_at_local,
        orders.order_date
    from {{ only_touched(ref('stg_restaurant__order_items'), alias='items') }}
    left join orders
        on
            items.source_system = orders.source_system
            and items.order_id = orders.order_id
    left join {{ only_touched(ref('int_restaurant_options_totalled'), alias='options') }}
        on
            items.order_id = options.order_id
            and items.line_id = options.line_id
    left join exchange_rates
        on
            items.currency <> orders.currency
            and items.currency = exchange_rates.currency
            and orders.order_date = exchange_rates.date_day

),

lines as (

    select * from store_lines
    union all
    select * from restaurant_lines

),

-- Gross and discount are converted and rounded; what follows from them follows by subtraction.
converted as (

    select
        source_system,
        order_id,
        line_id,
        product_id,
        product_version_key,
        category,
        currency,
        exchange_rate,
        quantity,
        item_amount + option_amount - discount_amount as transaction_net_sales_amount,
        {{ convert_money('unit_price', 'exchange_rate') }} as unit_price,
        {{ convert_money('item_amount', 'exchange_rate') }} as item_amount,
        {{ convert_money('item_amount + option_amount', 'exchange_rate') }} as gross_amount,
        {{ convert_money('discount_amount', 'exchange_rate') }} as discount_amount,
        list_price_amount,
        cost_amount,
        customer_key,
        location_key,
        day_part,
        is_booked,
        order_key is null as has_missing_header,
        ordered_at,
        ordered_at_local,
        order_date
    from lines

)

select
    {{ surrogate_key(['source_system', 'order_id', 'line_id']) }} as order_item_key,
    {{ surrogate_key(['source_system', 'order_id']) }} as order_key,
    {{ surrogate_key(['source_system', 'product_id']) }} as product_key,
    product_version_key,
    customer_key,
    location_key,

    source_system,
    order_id,
    line_id,
    product_id,
    coalesce(category, 'unknown') as category,
    day_part,
    currency,

    exchange_rate,
    {{ money('quantity') }} as quantity,
    unit_price,
    item_amount,
    {{ money('gross_amount - item_amount') }} as option_amount,
    gross_amount,
    discount_amount,
    {{ money('gross_amount - discount_amount') }} as net_sales_amount,
    list_price_amount,
    {{ money('list_price_amount - item_amount') }} as markdown_amount,
    cost_amount,
    {{ money('transaction_net_sales_amount') }} as transaction_net_sales_amount,

    coalesce(is_booked, false) as is_booked,
    has_missing_header,
    list_price_amount is null as is_list_price_missing,

    ordered_at,
    ordered_at_local,
    order_date
from converted
{{ clustered_by(['source_system', 'order_date']) }}
