-- score = 1 + floor(5 × number of customers strictly worse / number of customers), per source system. Ties share it.
-- Ascending order only, because engines disagree on where a descending sort puts nulls.
with customers as (

    select
        source_system,
        customer_key,
        orders,
        order_dates,
        net_sales_amount,
        refund_amount,
        lifetime_value_to_date,
        spend_last_period,
        spend_previous_period,
        spend_this_year,
        spend_same_dates_last_year,
        first_order_date,
        last_order_date
    from {{ ref('int_customers_summarised') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

-- Dates and numbers of orders are few, so their ranks are found once per value, without sorting all customers.
recencies as (

    select
        source_system,
        last_order_date,
        sum(count(*)) over (
            partition by source_system
            order by last_order_date
            rows between unbounded preceding and current row
        ) - count(*) as customers_less_recent
    from customers
    group by
        source_system,
        last_order_date

),

frequencies as (

    select
        source_system,
        orders,
        sum(count(*)) over (
            partition by source_system
            order by orders
            rows between unbounded preceding and current row
        ) - count(*) as customers_less_frequent
    from customers
    group by
        source_system,
        orders

),

totals as (

    select
        source_system,
        count(*) as customers
    from customers
    group by source_system

),

values_ranked as (

    select
        *,
        -- rank() − 1 is the number of customers strictly worse.
        rank() over (partition by source_system order by lifetime_value_to_date) - 1 as customers_worth_less
    from customers

)

select
    ranked.source_system,

    ranked.customer_key,

    {{ quintile_score('recencies.customers_less_recent', 'totals.customers') }} as r_score,
    {{ quintile_score('frequencies.customers_less_frequent', 'totals.customers') }} as f_score,
    {{ quintile_score('ranked.customers_worth_less', 'totals.customers') }} as m_score,
    ranked.orders,
    ranked.order_dates,
    ranked.net_sales_amount,
    ranked.refund_amount,
    ranked.lifetime_value_to_date,
    ranked.spend_last_period,
    ranked.spend_previous_period,
    ranked.spend_this_year,
    ranked.spend_same_dates_last_year,

    ranked.orders = 1 as is_single_order,

    ranked.first_order_date,
    ranked.last_order_date,
    as_of_dates.as_of_date
from values_ranked as ranked
inner join recencies
    on
        ranked.source_system = recencies.source_system
        and ranked.last_order_date = recencies.last_order_date
inner join frequencies
    on
        ranked.source_system = frequencies.source_system
        and ranked.orders = frequencies.orders
inner join totals
    on ranked.source_system = totals.source_system
inner join as_of_dates
    on ranked.source_system = as_of_dates.source_system
