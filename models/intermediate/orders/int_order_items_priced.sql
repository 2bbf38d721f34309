{% set touched -%}{% raw %}
    {% for changed in [
        'int_orders_united', 'stg_store__order_items', 'int_order_discounts_shared', 'stg_restaurant__order_items',
        'int_restaurant_options_totalled'
    ] %}
    select
        source_system,
        key as order_id
    from {{ changes(ref(changed)) }} as {{ changed }}

    union all
    {% endfor %}

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
    emits={'key': 'order_id'},
    touched=touched
)) }}

-- In transaction currency; list price and cost are in the reporting currency, as the catalogue is. A line takes time,
-- place and booking from its order, never from itself.
with orders as (

    select
        source_system,
        order_id,
        currency,
        ordered_at,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}

),

store_lines as (

    select
        items.source_system,
        items.order_id,
        items.line_id,
        items.product_id,
        versions.product_version_key,
        versions.category,
        orders.currency,
        items.quantity,
        items.unit_price,
        {{ multiply_money('items.quantity', 'items.unit_price') }} as item_amount,
        cast(0 as numeric(18, 4)) as option_amount,
        {{ money('items.discount_amount + coalesce(shares.order_discount_share_amount, 0)') }}
            as discount_amount,
        {{ multiply_money('items.quantity', 'versions.list_price') }} as list_price_amount,
        {{ multiply_money('items.quantity', 'versions.unit_cost') }} as cost_amount,
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
    left join {{ ref('int_products_versioned') }} as versions
        on
            items.source_system = versions.source_system
            and items.product_id = versions.product_id
            and orders.ordered_at >= versions.valid_from
            and (versions.valid_to is null or orders.ordered_at < versions.valid_to)

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
        cast(null as date) as order_date
    from {{ only_touched(ref('stg_restaurant__order_items'), alias='items') }}
    left join {{ only_touched(ref('int_restaurant_options_totalled'), alias='options') }}
        on
            items.order_id = options.order_id
            and items.line_id = options.line_id

)

select * from store_lines
union all
select * from restaurant_lines
