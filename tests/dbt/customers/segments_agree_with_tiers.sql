-- Two marts score the same lifetime value: a customer that is VIP with a low tier would be told two stories.
select
    lifetimes.customer_key,
    segments.monetary,
    lifetimes.lifetime_value_to_date,
    segments.m_score,
    lifetimes.clv_score
from {{ ref('mart_customer_lifetime_value') }} as lifetimes
full outer join {{ ref('mart_customer_segments') }} as segments
    on lifetimes.customer_key = segments.customer_key
where
    lifetimes.customer_key is null
    or segments.customer_key is null
    or segments.monetary <> lifetimes.lifetime_value_to_date
    or segments.frequency <> lifetimes.orders
    or segments.m_score <> lifetimes.clv_score
