{% set touched -%}{% raw %}
    {{ changed_keys(['fct_orders', 'fct_payments'], {'source_system': 'source_system', 'key': 'order_id'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'day': 'order_date'},
    touched=touched
)) }}

with orders as (

    select
        order_key,
        source_system,
        order_id,
        status,
        is_booked,
        header_total_amount,
        order_date
    from {{ only_touched(ref('fct_orders')) }}
    -- Restaurant orders come without payments: there is nothing to compare.
    where source_system = 'store'

),

payments as (

    select
        order_key,
        source_system,
        order_id,
        is_succeeded,
        amount
    from {{ only_touched(ref('fct_payments')) }}

),

payment_groups as (

    select
        order_key,
        source_system,
        order_id,
        count(*) as payments,
        {{ count_when('is_succeeded') }} as succeeded_payments,
        {{ sum_money_when('is_succeeded', 'amount') }} as paid_amount
    from payments
    group by
        order_key,
        source_system,
        order_id

),

compared as (

    select
        coalesce(orders.order_key, payment_groups.order_key) as order_key,
        coalesce(orders.order_id, payment_groups.order_id) as order_id,
        coalesce(orders.source_system, payment_groups.source_system) as source_system,
        orders.status as order_status,
        case when orders.is_booked then orders.header_total_amount else 0 end as expected_amount,
        coalesce(payment_groups.paid_amount, 0) as paid_amount,
        coalesce(payment_groups.payments, 0) as payments,
        coalesce(payment_groups.succeeded_payments, 0) as succeeded_payments,
        orders.order_key is not null as has_order,
        orders.order_date
    from orders
    full outer join payment_groups
        on orders.order_key = payment_groups.order_key

)

select
    order_key,
    order_id,

    source_system,
    order_status,
    case
        when not has_order then 'payment_without_order'
        when paid_amount = expected_amount then 'matched'
        when paid_amount > expected_amount then 'overpaid'
        when paid_amount = 0 then 'unpaid'
        else 'underpaid'
    end as classification,

    cast(payments as bigint) as payments,
    cast(succeeded_payments as bigint) as succeeded_payments,
    cast(expected_amount as numeric(38, 4)) as expected_amount,
    cast(paid_amount as numeric(38, 4)) as paid_amount,
    cast(paid_amount - expected_amount as numeric(38, 4)) as difference,

    order_date
from compared
{{ clustered_by(['source_system', 'order_date']) }}
