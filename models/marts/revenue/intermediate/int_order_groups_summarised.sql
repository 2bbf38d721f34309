{% set touched -%}{% raw %}
    {{ changed_keys(['fct_orders', 'fct_returns'], {'source_system': 'source_system', 'day': 'activity_date'}) }}

    union all

    -- A refund stands in the group of its order, which may change while the return does not.
    select
        returns.source_system,
        returns.return_date as activity_date
    from {{ changes(ref('fct_orders')) }} as changed_orders
    inner join {{ ref('fct_returns') }} as returns
        on
            changed_orders.source_system = returns.source_system
            and changed_orders.key = returns.order_id
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['activity_date', 'location_key', 'order_group', 'is_discounted'],
    scope=['source_system', 'activity_date'],
    emits={'day': 'activity_date'},
    touched=touched
)) }}

{% set order_group -%}
        case
            when customer_key is null then 'guest'
            when is_loyalty then 'loyal'
            else 'other'
        end
{%- endset %}

-- Marts that compare groups of orders read this instead of the orders. It is not cut at the as-of date, so that it
-- changes only on the days whose orders or returns changed.
with orders as (

    select
        source_system,
        location_key,
        location_id,
        {{ order_group }} as order_group,
        lines,
        lines_with_cost,
        units,
        gross_amount,
        discount_amount,
        case when lines_with_cost > 0 then net_sales_with_cost_amount - cost_amount end as margin_amount,
        is_discounted,
        order_date
    from {{ only_touched(
        ref('fct_orders'),
        {'source_system': 'source_system', 'order_date': 'activity_date'}
    ) }}
    where is_booked

),

refunds as (

    select
        order_key,
        eligible_refund_amount,
        order_date,
        return_date
    from {{ only_touched(
        ref('fct_returns'),
        {'source_system': 'source_system', 'return_date': 'activity_date'}
    ) }}
    where
        eligible_refund_amount <> 0
        and has_cost

),

refunded_orders as (

    select
        order_key,
        source_system,
        location_key,
        location_id,
        {{ order_group }} as order_group,
        is_discounted,
        order_date
    from {{ ref('fct_orders') }}
    where is_booked

),

events as (

    select
        source_system,
        location_key,
        location_id,
        order_group,
        1 as orders,
        lines,
        lines_with_cost,
        units,
        gross_amount,
        discount_amount,
        margin_amount,
        is_discounted,
        order_date as activity_date
    from orders

    union all

    -- Refunds lower the margin on the day of the return, in the group of the order that they give money back for.
    select
        refunded_orders.source_system,
        refunded_orders.location_key,
        refunded_orders.location_id,
        refunded_orders.order_group,
        0 as orders,
        0 as lines,
        0 as lines_with_cost,
        0 as units,
        0 as gross_amount,
        0 as discount_amount,
        -refunds.eligible_refund_amount as margin_amount,
        refunded_orders.is_discounted,
        refunds.return_date as activity_date
    from refunds
    -- The date too, so that only the blocks of these days are read.
    inner join refunded_orders
        on
            refunds.order_key = refunded_orders.order_key
            and refunds.order_date = refunded_orders.order_date

),

summarised as (

    select
        location_key,
        source_system,
        location_id,
        order_group,
        sum(orders) as orders,
        sum(lines) as lines,
        sum(lines_with_cost) as lines_with_cost,
        {{ sum_money('units') }} as units,
        {{ sum_money('gross_amount') }} as gross_revenue,
        {{ sum_money('discount_amount') }} as discounts,
        -- Not coalesced: without a known cost there is no margin, which is not a margin of 0.
        sum(margin_amount) as gross_margin,
        is_discounted,
        activity_date
    from events
    group by
        location_key,
        source_system,
        location_id,
        order_group,
        is_discounted,
        activity_date

)

select
    location_key,

    source_system,
    location_id,
    order_group,

    cast(orders as bigint) as orders,
    cast(lines as bigint) as lines,
    cast(lines_with_cost as bigint) as lines_with_cost,
    units,
    gross_revenue,
    discounts,
    cast(gross_revenue - discounts as numeric(38, 4)) as net_sales,
    cast(gross_margin as numeric(38, 4)) as gross_margin,

    is_discounted,

    activity_date
from summarised
