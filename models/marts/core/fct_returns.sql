{% set touched -%}{% raw %}
    {{ changed_keys(
        ['stg_store__returns', 'fct_order_items', 'int_orders_united'],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['return_key', 'return_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'customer_key': 'customer_key', 'day': 'return_date'},
    touched=touched
)) }}

with returns as (

    select
        {{ surrogate_key(['source_system', 'return_id']) }} as return_key,
        {{ surrogate_key(['source_system', 'order_id', 'line_id']) }} as order_item_key,
        {{ surrogate_key(['source_system', 'order_id']) }} as order_key,
        source_system,
        return_id,
        order_id,
        line_id,
        reason,
        quantity,
        refund_amount,
        returned_at,
        return_date
    from {{ only_touched(ref('stg_store__returns')) }}

),

lines as (

    select
        order_item_key,
        product_key,
        category,
        net_sales_amount,
        cost_amount
    from {{ only_touched(ref('fct_order_items')) }}
    where source_system = 'store'

),

orders as (

    select
        order_key,
        customer_key,
        location_key,
        currency,
        exchange_rate,
        is_booked,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}
    where source_system = 'store'

),

matched as (

    select
        returns.return_key,
        returns.order_item_key,
        returns.order_key,
        lines.product_key,
        orders.customer_key,
        orders.location_key,
        returns.source_system,
        returns.return_id,
        returns.order_id,
        returns.line_id,
        lines.category,
        returns.reason,
        orders.currency,
        orders.exchange_rate,
        returns.quantity,
        returns.refund_amount as transaction_refund_amount,
        {{ convert_money('returns.refund_amount', 'orders.exchange_rate') }} as refund_amount,
        lines.net_sales_amount as line_net_sales_amount,
        lines.cost_amount is not null as has_cost,
        -- Not eligible yet while the line or its order is still missing.
        coalesce(
            lines.order_item_key is not null
            and orders.is_booked
            and {{ days_between('orders.order_date', 'returns.return_date') }}
            <= {{ var('refund_window_days') }},
            false
        ) as is_refund_eligible,
        lines.order_item_key is null or orders.order_key is null as has_missing_order,
        returns.returned_at,
        returns.return_date,
        orders.order_date
    from returns
    left join lines
        on returns.order_item_key = lines.order_item_key
    left join orders
        on returns.order_key = orders.order_key

),

-- What the earlier eligible returns of the line asked for; a line never refunds more than its net sales.
accumulated as (

    select
        *,
        coalesce(
            sum(case when is_refund_eligible then refund_amount else 0 end) over (
                partition by order_item_key
                order by returned_at, {{ text_order('return_id') }}
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as refunded_before_amount
    from matched

),

capped as (

    select
        *,
        case
            when is_refund_eligible
                then greatest(least(refund_amount, line_net_sales_amount - refunded_before_amount), 0)
            else 0
        end as eligible_refund_amount
    from accumulated

)

select
    return_key,
    order_key,
    order_item_key,
    product_key,
    customer_key,
    location_key,

    source_system,
    return_id,
    order_id,
    line_id,
    category,
    reason,
    currency,

    exchange_rate,
    {{ money('quantity') }} as quantity,
    refund_amount,
    {{ money('eligible_refund_amount') }} as eligible_refund_amount,
    {{ money('case when is_refund_eligible then refund_amount - eligible_refund_amount else 0 end') }}
        as excess_refund_amount,
    {{ money('transaction_refund_amount') }} as transaction_refund_amount,

    is_refund_eligible,
    is_refund_eligible and eligible_refund_amount < refund_amount as is_refund_capped,
    has_missing_order,
    has_cost,

    returned_at,
    return_date,
    order_date
from capped
{{ clustered_by(['source_system', 'return_date']) }}
