{% set touched -%}{% raw %}
    {{ changed_keys(
        ['stg_store__payments', 'int_orders_united'],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}

    union all

    -- Their currency is the shop's, which any order of another currency takes away.
    select
        without_order.source_system,
        without_order.order_id
    from {{ this }} as without_order
    cross join ({{ shop_currency() }}) as shop
    where without_order.has_missing_order and not {{ is_same('without_order.currency', 'shop.currency') }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['payment_key', 'payment_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'customer_key': 'customer_key', 'day': 'payment_date'},
    touched=touched
)) }}

with payments as (

    select
        {{ surrogate_key(['source_system', 'payment_id']) }} as payment_key,
        {{ surrogate_key(['source_system', 'order_id']) }} as order_key,
        source_system,
        payment_id,
        order_id,
        status,
        method,
        amount,
        created_at,
        paid_at,
        payment_date
    from {{ only_touched(ref('stg_store__payments')) }}

),

orders as (

    select
        order_key,
        customer_key,
        location_key,
        currency,
        exchange_rate,
        ordered_at,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}
    where source_system = 'store'

),

-- A payment names no currency. One without an order is in the shop's currency where the shop has only one.
shop_currency as (

    {{ shop_currency() }}

),

exchange_rates as (

    select
        currency,
        exchange_rate,
        date_day
    from {{ ref('int_exchange_rates_daily') }}

),

matched as (

    select
        payments.payment_key,
        payments.order_key,
        orders.customer_key,
        orders.location_key,
        payments.source_system,
        payments.payment_id,
        payments.order_id,
        payments.status,
        payments.method,
        coalesce(orders.currency, shop_currency.currency) as currency,
        orders.exchange_rate as order_exchange_rate,
        payments.amount as transaction_amount,
        orders.order_key is null as has_missing_order,
        orders.ordered_at,
        payments.created_at,
        payments.paid_at,
        coalesce(payments.payment_date, orders.order_date) as payment_date,
        orders.order_date
    from payments
    left join orders
        on payments.order_key = orders.order_key
    cross join shop_currency

),

rated as (

    select
        matched.payment_key,
        matched.order_key,
        matched.customer_key,
        matched.location_key,
        matched.source_system,
        matched.payment_id,
        matched.order_id,
        matched.status,
        matched.method,
        matched.currency,
        case
            when not matched.has_missing_order then matched.order_exchange_rate
            when matched.currency = '{{ reporting_currency() }}' then cast(1 as numeric(18, 8))
            else exchange_rates.exchange_rate
        end as exchange_rate,
        matched.transaction_amount,
        matched.status = 'succeeded'
        or (matched.status = 'refunded' and matched.paid_at is not null) as is_succeeded,
        matched.has_missing_order,
        matched.ordered_at,
        matched.created_at,
        matched.paid_at,
        matched.payment_date,
        matched.order_date
    from matched
    left join exchange_rates
        on
            matched.has_missing_order
            and matched.currency = exchange_rates.currency
            and matched.payment_date = exchange_rates.date_day

)

select
    payment_key,
    order_key,
    customer_key,
    location_key,

    source_system,
    payment_id,
    order_id,
    status,
    method,
    currency,

    exchange_rate,
    {{ convert_money('transaction_amount', 'exchange_rate') }} as amount,
    {{ money('transaction_amount') }} as transaction_amount,
    case when is_succeeded then {{ hours_between('ordered_at', 'paid_at') }} end as processing_hours,

    is_succeeded,
    has_missing_order,

    created_at,
    paid_at,
    payment_date,
    order_date
from rated
{{ clustered_by(['source_system', 'payment_date']) }}
