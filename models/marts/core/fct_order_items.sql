{% set touched -%}{% raw %}
    select
        source_system,
        key as order_id
    from {{ changes(ref('int_orders_united')) }} as changed_orders

    union all

    select
        source_system,
        key as order_id
    from {{ changes(ref('int_order_items_priced')) }} as changed_lines
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id', 'line_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'day': 'order_date'},
    touched=touched
)) }}

with lines as (

    select
        source_system,
        order_id,
        line_id,
        product_id,
        product_version_key,
        category,
        currency,
        quantity,
        unit_price,
        item_amount,
        option_amount,
        discount_amount,
        list_price_amount,
        cost_amount
    from {{ only_touched(ref('int_order_items_priced')) }}

),

orders as (

    select
        order_key,
        customer_key,
        location_key,
        source_system,
        order_id,
        day_part,
        is_booked,
        ordered_at,
        ordered_at_local,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}

),

exchange_rates as (

    select
        currency,
        exchange_rate,
        date_day
    from {{ ref('int_exchange_rates_daily') }}

),

dated as (

    select
        lines.source_system,
        lines.order_id,
        lines.line_id,
        lines.product_id,
        lines.product_version_key,
        lines.category,
        lines.currency,
        lines.quantity,
        lines.unit_price,
        lines.item_amount,
        lines.item_amount + lines.option_amount as gross_amount,
        lines.discount_amount,
        lines.list_price_amount,
        lines.cost_amount,
        orders.customer_key,
        orders.location_key,
        orders.day_part,
        orders.is_booked,
        orders.order_key is null as has_missing_header,
        orders.ordered_at,
        orders.ordered_at_local,
        orders.order_date,
        case
            when lines.currency = '{{ reporting_currency() }}' then cast(1 as numeric(18, 8))
            else exchange_rates.exchange_rate
        end as exchange_rate
    from lines
    left join orders
        on
            lines.source_system = orders.source_system
            and lines.order_id = orders.order_id
    left join exchange_rates
        on
            lines.currency = exchange_rates.currency
            and orders.order_date = exchange_rates.date_day

),

-- Gross and discount are converted and rounded; what follows from them follows by subtraction. The catalogue
-- is in the reporting currency, whatever the order's.
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
        gross_amount - discount_amount as transaction_net_sales_amount,
        {{ convert_money('unit_price', 'exchange_rate') }} as unit_price,
        {{ convert_money('item_amount', 'exchange_rate') }} as item_amount,
        {{ convert_money('gross_amount', 'exchange_rate') }} as gross_amount,
        {{ convert_money('discount_amount', 'exchange_rate') }} as discount_amount,
        list_price_amount,
        cost_amount,
        customer_key,
        location_key,
        day_part,
        is_booked,
        has_missing_header,
        ordered_at,
        ordered_at_local,
        order_date
    from dated

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
