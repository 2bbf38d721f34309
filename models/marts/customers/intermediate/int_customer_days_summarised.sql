{% set touched -%}{% raw %}
    {{ changed_keys(['fct_orders', 'fct_returns'], {'customer_key': 'customer_key'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['customer_key', 'activity_date'],
    scope=['customer_key'],
    emits={'customer_key': 'customer_key', 'day': 'activity_date'},
    touched=touched
)) }}

-- Compact event facts per customer: lifetimes, cohorts, churn and periods read this instead of the orders.
-- It is not cut at the as-of date, so that it changes only on the days whose orders or returns changed.
with orders as (

    select
        source_system,
        customer_key,
        is_loyalty,
        net_sales_amount,
        order_date
    from {{ only_touched(ref('fct_orders')) }}
    where
        is_booked
        and customer_key is not null

),

refunds as (

    select
        source_system,
        customer_key,
        eligible_refund_amount,
        return_date
    from {{ only_touched(ref('fct_returns')) }}
    where
        is_refund_eligible
        and customer_key is not null

),

events as (

    select
        source_system,
        customer_key,
        1 as orders,
        case when is_loyalty then 1 else 0 end as loyal_orders,
        net_sales_amount,
        cast(0 as numeric(18, 4)) as refund_amount,
        order_date as activity_date
    from orders

    union all

    select
        source_system,
        customer_key,
        0 as orders,
        0 as loyal_orders,
        cast(0 as numeric(18, 4)) as net_sales_amount,
        eligible_refund_amount as refund_amount,
        return_date as activity_date
    from refunds

),

days as (

    select
        source_system,
        customer_key,
        sum(orders) as orders,
        sum(loyal_orders) as loyal_orders,
        {{ sum_money('net_sales_amount') }} as net_sales_amount,
        {{ sum_money('refund_amount') }} as refund_amount,
        activity_date
    from events
    group by
        source_system,
        customer_key,
        activity_date

)

select
    source_system,

    customer_key,

    cast(orders as bigint) as orders,
    cast(loyal_orders as bigint) as loyal_orders,
    net_sales_amount,
    refund_amount,

    activity_date,
    min(case when orders > 0 then activity_date end) over (partition by customer_key) as first_order_date,
    -- With it, who is new, back or retained in a period is told by single rows, without sorting or distinct counts.
    max(case when orders > 0 then activity_date end) over (
        partition by customer_key
        order by activity_date
        rows between unbounded preceding and 1 preceding
    ) as previous_order_date
from days
