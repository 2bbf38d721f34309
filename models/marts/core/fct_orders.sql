{% set touched -%}{% raw %}
    {{ changed_keys(
        ['int_orders_united', 'fct_order_items', 'fct_returns', 'int_orders_sequenced'],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id'],
    scope=['source_system', 'order_id'],
    emits={'key': 'order_id', 'customer_key': 'customer_key', 'day': 'order_date'},
    touched=touched
)) }}

with orders as (

    select
        order_key,
        customer_key,
        location_key,
        source_system,
        order_id,
        customer_id,
        location_id,
        sales_channel,
        status,
        day_part,
        currency,
        exchange_rate,
        transaction_header_total_amount,
        transaction_order_discount_amount,
        transaction_tax_amount,
        transaction_shipping_amount,
        transaction_tip_amount,
        is_booked,
        is_loyalty,
        has_conflicting_lines,
        ordered_at,
        ordered_at_local,
        order_date
    from {{ only_touched(ref('int_orders_united')) }}

),

lines as (

    select
        order_key,
        count(*) as lines,
        {{ count_when('cost_amount is not null') }} as lines_with_cost,
        {{ sum_money('quantity') }} as units,
        {{ sum_money('gross_amount') }} as gross_amount,
        {{ sum_money('discount_amount') }} as discount_amount,
        {{ sum_money('net_sales_amount') }} as net_sales_amount,
        {{ sum_money('cost_amount') }} as cost_amount,
        {{ sum_money_when('cost_amount is not null', 'net_sales_amount') }} as net_sales_with_cost_amount,
        {{ sum_money('transaction_net_sales_amount') }} as transaction_net_sales_amount,
        min(currency) as smallest_currency,
        max(currency) as largest_currency
    from {{ only_touched(ref('fct_order_items')) }}
    where not has_missing_header
    group by order_key

),

returns as (

    select
        order_key,
        count(*) as returns,
        {{ sum_money('quantity') }} as returned_units,
        {{ sum_money('eligible_refund_amount') }} as refund_amount
    from {{ only_touched(ref('fct_returns')) }}
    group by order_key

),

sequences as (

    select
        source_system,
        order_id,
        order_sequence,
        customer_first_order_date
    from {{ only_touched(ref('int_orders_sequenced')) }}

),

combined as (

    select
        orders.*,
        coalesce(lines.lines, 0) as lines,
        coalesce(lines.lines_with_cost, 0) as lines_with_cost,
        coalesce(lines.units, 0) as units,
        coalesce(lines.gross_amount, 0) as gross_amount,
        coalesce(lines.discount_amount, 0) as discount_amount,
        coalesce(lines.net_sales_amount, 0) as net_sales_amount,
        coalesce(lines.cost_amount, 0) as cost_amount,
        coalesce(lines.net_sales_with_cost_amount, 0) as net_sales_with_cost_amount,
        -- Transaction amounts of different currencies are not added.
        case
            when lines.order_key is null then 0
            when lines.smallest_currency = orders.currency and lines.largest_currency = orders.currency
                then lines.transaction_net_sales_amount
        end as transaction_net_sales_amount,
        coalesce(returns.returns, 0) as returns,
        coalesce(returns.returned_units, 0) as returned_units,
        coalesce(returns.refund_amount, 0) as refund_amount,
        sequences.order_sequence,
        sequences.customer_first_order_date
    from orders
    left join lines
        on orders.order_key = lines.order_key
    left join returns
        on orders.order_key = returns.order_key
    left join sequences
        on
            orders.source_system = sequences.source_system
            and orders.order_id = sequences.order_id

),

totalled as (

    select
        *,
        -- Shops whose files have no order total: it is what the lines and the header's other amounts come to.
        case
            when source_system = 'restaurant' then transaction_net_sales_amount
            else coalesce(
                transaction_header_total_amount,
                transaction_net_sales_amount + transaction_tax_amount + transaction_shipping_amount
                + transaction_tip_amount
            )
        end as transaction_total_amount
    from combined

)

select
    order_key,
    customer_key,
    location_key,

    source_system,
    order_id,
    customer_id,
    location_id,
    sales_channel,
    status,
    day_part,
    currency,

    exchange_rate,
    cast(order_sequence as bigint) as order_sequence,
    cast(lines as bigint) as lines,
    cast(lines_with_cost as bigint) as lines_with_cost,
    cast(units as numeric(38, 4)) as units,
    cast(gross_amount as numeric(38, 4)) as gross_amount,
    cast(discount_amount as numeric(38, 4)) as discount_amount,
    cast(net_sales_amount as numeric(38, 4)) as net_sales_amount,
    cast(refund_amount as numeric(38, 4)) as refund_amount,
    cast(net_sales_amount - refund_amount as numeric(38, 4)) as net_sales_after_refunds_amount,
    cast(cost_amount as numeric(38, 4)) as cost_amount,
    cast(net_sales_with_cost_amount as numeric(38, 4)) as net_sales_with_cost_amount,
    cast(
        case
            when source_system = 'restaurant' then net_sales_amount
            else {{ convert_money('transaction_total_amount', 'exchange_rate') }}
        end as numeric(38, 4)
    ) as header_total_amount,
    {{ convert_money('transaction_order_discount_amount', 'exchange_rate') }} as order_discount_amount,
    {{ convert_money('transaction_tax_amount', 'exchange_rate') }} as tax_amount,
    {{ convert_money('transaction_shipping_amount', 'exchange_rate') }} as shipping_amount,
    {{ convert_money('transaction_tip_amount', 'exchange_rate') }} as tip_amount,
    cast(returns as bigint) as returns,
    cast(returned_units as numeric(38, 4)) as returned_units,
    cast(transaction_net_sales_amount as numeric(38, 4)) as transaction_net_sales_amount,
    cast(transaction_total_amount as numeric(38, 4)) as transaction_header_total_amount,
    -- In transaction currency, where rounding of conversions cannot open a gap.
    cast(
        case
            when source_system = 'store'
                then
                    transaction_total_amount - transaction_net_sales_amount - transaction_tax_amount
                    - transaction_shipping_amount - transaction_tip_amount
            else 0
        end as numeric(38, 4)
    ) as header_difference_amount,

    is_booked,
    is_loyalty,
    coalesce(order_sequence = 1, false) as is_first_order,
    discount_amount > 0 as is_discounted,
    returns > 0 as has_return,
    has_conflicting_lines,

    ordered_at,
    ordered_at_local,
    order_date,
    customer_first_order_date
from totalled
{{ clustered_by(['source_system', 'order_date']) }}
