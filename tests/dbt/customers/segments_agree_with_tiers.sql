-- Two marts score the same lifetime value: a customer that is VIP with a low tier would be told two stories.
with lifetimes as (

    select
        customer_key,
        orders,
        lifetime_value_to_date,
        clv_score
    from {{ rows_to_check(ref('mart_customer_lifetime_value')) }}

),

segments as (

    select
        customer_key,
        frequency,
        monetary,
        m_score
    from {{ rows_to_check(ref('mart_customer_segments')) }}

)

select
    lifetimes.customer_key,
    segments.monetary,
    lifetimes.lifetime_value_to_date,
    segments.m_score,
    lifetimes.clv_score
from lifetimes
full outer join segments
    on lifetimes.customer_key = segments.customer_key
where
    lifetimes.customer_key is null
    or segments.customer_key is null
    or segments.monetary <> lifetimes.lifetime_value_to_date
    or segments.frequency <> lifetimes.orders
    or segments.m_score <> lifetimes.clv_score
