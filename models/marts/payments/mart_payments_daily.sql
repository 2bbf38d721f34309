{% set touched -%}{% raw %}
    {{ changed_keys(['fct_payments'], {'source_system': 'source_system', 'day': 'payment_date'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['payment_day_key'],
    scope=['source_system', 'payment_date'],
    emits={'key': 'method', 'day': 'payment_date'},
    undated='payment_date',
    touched=touched
)) }}

with payments as (

    select
        source_system,
        order_key,
        coalesce(method, 'unknown') as method,
        status,
        is_succeeded,
        amount,
        paid_at,
        payment_date,
        order_date
    from {{ only_touched(ref('fct_payments')) }}

),

orders as (

    select
        order_key,
        ordered_at,
        order_date
    from {{ ref('fct_orders') }}

),

timed as (

    select
        payments.source_system,
        payments.method,
        payments.status,
        payments.is_succeeded,
        payments.amount,
        payments.payment_date,
        case
            when payments.is_succeeded
                then {{ microseconds_between('orders.ordered_at', 'payments.paid_at') }}
        end as processing_microseconds
    from payments
    -- The date too, so that only the blocks of these days are read.
    left join orders
        on
            payments.order_key = orders.order_key
            and payments.order_date = orders.order_date

),

summarised as (

    select
        source_system,
        method,
        payment_date,
        count(*) as payments,
        {{ count_when('is_succeeded') }} as succeeded,
        {{ count_when("status = 'failed'") }} as failed,
        {{ count_when("status = 'pending'") }} as pending,
        {{ count_when("status = 'refunded'") }} as refunded,
        {{ sum_money_when('is_succeeded', 'amount') }} as payment_amount,
        sum(processing_microseconds) as processing_microseconds,
        count(processing_microseconds) as timed_payments
    from timed
    group by
        source_system,
        method,
        payment_date

)

select
    {{ surrogate_key(['source_system', 'payment_date', 'method']) }} as payment_day_key,

    source_system,
    method,

    cast(payments as bigint) as payments,
    cast(succeeded as bigint) as succeeded,
    cast(failed as bigint) as failed,
    cast(pending as bigint) as pending,
    cast(refunded as bigint) as refunded,
    payment_amount,
    {{ divide('succeeded', 'succeeded + failed') }} as payment_success_rate,
    -- 3.6e9 microseconds an hour, in one division over the day's exact total.
    {{ divide('processing_microseconds', 'timed_payments * 3600000000') }} as average_processing_hours,

    payment_date
from summarised
