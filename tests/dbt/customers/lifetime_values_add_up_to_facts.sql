{{ config(tags=['weekly']) }}

-- Sales and eligible refunds of identified customers up to the as-of date are each in one lifetime value.
with as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

sold as (

    select
        orders.source_system,
        sum(orders.net_sales_amount) as amount
    from {{ ref('fct_orders') }} as orders
    inner join as_of_dates
        on orders.source_system = as_of_dates.source_system
    where
        orders.is_booked
        and orders.customer_key is not null
        and orders.order_date <= as_of_dates.as_of_date
    group by orders.source_system

),

-- A refund can be dated before its order, which then may lie after the as-of date: it waits with the order.
refunded as (

    select
        returns.source_system,
        sum(returns.eligible_refund_amount) as amount
    from {{ ref('fct_returns') }} as returns
    inner join as_of_dates
        on returns.source_system = as_of_dates.source_system
    inner join {{ ref('mart_customer_lifetime_value') }} as lifetimes
        on returns.customer_key = lifetimes.customer_key
    where returns.return_date <= as_of_dates.as_of_date
    group by returns.source_system

),

lifetimes as (

    select
        source_system,
        sum(lifetime_value_to_date) as amount
    from {{ ref('mart_customer_lifetime_value') }}
    group by source_system

)

select
    coalesce(sold.source_system, lifetimes.source_system) as source_system,
    sold.amount as sold_amount,
    refunded.amount as refunded_amount,
    lifetimes.amount as lifetime_amount
from sold
full outer join lifetimes
    on sold.source_system = lifetimes.source_system
left join refunded
    on sold.source_system = refunded.source_system
where coalesce(sold.amount, 0) - coalesce(refunded.amount, 0) <> coalesce(lifetimes.amount, 0)
