{% set touched -%}{% raw %}
    {{ changed_keys(
        ['stg_store__orders', 'int_restaurant_orders_derived'],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'customer_key': 'customer_key', 'day': 'order_date'},
    touched=touched
)) }}

with store_orders as (

    select
        source_system,
        order_id,
        customer_id,
        location_id,
        'online' as sales_channel,
        currency,
        status,
        total_amount as transaction_header_total_amount,
        order_discount_amount as transaction_order_discount_amount,
        coalesce(tax_amount, 0) as transaction_tax_amount,
        coalesce(shipping_amount, 0) as transaction_shipping_amount,
        coalesce(tip_amount, 0) as transaction_tip_amount,
        coalesce(is_loyalty, false) as is_loyalty,
        false as has_conflicting_lines,
        ordered_at,
        ordered_at_local,
        order_date
    from {{ only_touched(ref('stg_store__orders')) }}

),

restaurant_orders as (

    select
        source_system,
        order_id,
        customer_id,
        location_id,
        sales_channel,
        currency,
        'completed' as status,
        cast(null as numeric(18, 4)) as transaction_header_total_amount,
        cast(0 as numeric(18, 4)) as transaction_order_discount_amount,
        cast(0 as numeric(18, 4)) as transaction_tax_amount,
        cast(0 as numeric(18, 4)) as transaction_shipping_amount,
        cast(0 as numeric(18, 4)) as transaction_tip_amount,
        is_loyalty,
        has_conflicting_lines,
        ordered_at,
        ordered_at_local,
        order_date
    from {{ only_touched(ref('int_restaurant_orders_derived')) }}

),

orders as (

    select * from store_orders
    union all
    select * from restaurant_orders

),

statuses as (

    select
        source_system,
        status,
        is_booked
    from {{ ref('order_statuses') }}

),

-- A row per hour, since an equality joins many times faster than a range.
hours as (

    {% for hour in range(24) %}
        select {{ hour }} as local_hour
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

day_parts as (

    select
        hours.local_hour,
        parts.day_part
    from hours
    inner join {{ ref('day_parts') }} as parts
        on hours.local_hour between parts.first_hour and parts.last_hour

),

exchange_rates as (

    select
        currency,
        exchange_rate,
        date_day
    from {{ ref('int_exchange_rates_daily') }}

)

select
    {{ surrogate_key(['orders.source_system', 'orders.order_id']) }} as order_key,
    case
        when orders.customer_id is not null
            then {{ surrogate_key(['orders.source_system', 'orders.customer_id']) }}
    end as customer_key,
    {{ surrogate_key(['orders.source_system', 'orders.location_id']) }} as location_key,
    orders.source_system,
    orders.order_id,
    orders.customer_id,
    orders.location_id,
    orders.sales_channel,
    orders.currency,
    orders.status,
    day_parts.day_part,
    case
        when orders.currency = '{{ reporting_currency() }}' then cast(1 as numeric(18, 8))
        else exchange_rates.exchange_rate
    end as exchange_rate,
    orders.transaction_header_total_amount,
    orders.transaction_order_discount_amount,
    orders.transaction_tax_amount,
    orders.transaction_shipping_amount,
    orders.transaction_tip_amount,
    -- A status that the feed does not map is placed, not booked; the accepted_values test stops the run.
    coalesce(statuses.is_booked, false) as is_booked,
    orders.is_loyalty,
    orders.has_conflicting_lines,
    orders.ordered_at,
    orders.ordered_at_local,
    orders.order_date
from orders
left join statuses
    on
        orders.source_system = statuses.source_system
        and orders.status = statuses.status
left join day_parts
    on {{ hour_of('orders.ordered_at_local') }} = day_parts.local_hour
left join exchange_rates
    on
        orders.currency = exchange_rates.currency
        and orders.order_date = exchange_rates.date_day
{{ clustered_by(['source_system', 'order_date']) }}
