-- score = 1 + floor(5 × number of customers strictly worse / number of customers), per source system.
-- rank() − 1 is that number when the worst comes first, and ties share it; ascending order only, because
-- engines disagree on where a descending sort puts nulls.
with customers as (

    select
        source_system,
        customer_key,
        orders,
        lifetime_value_to_date,
        last_order_date
    from {{ ref('int_customers_summarised') }}

),

ranked as (

    select
        source_system,
        customer_key,
        orders,
        rank() over (partition by source_system order by last_order_date) - 1 as customers_less_recent,
        rank() over (partition by source_system order by orders) - 1 as customers_less_frequent,
        rank() over (partition by source_system order by lifetime_value_to_date) - 1 as customers_worth_less,
        count(*) over (partition by source_system) as customers
    from customers

)

select
    source_system,

    customer_key,

    {{ quintile_score('customers_less_recent', 'customers') }} as r_score,
    {{ quintile_score('customers_less_frequent', 'customers') }} as f_score,
    {{ quintile_score('customers_worth_less', 'customers') }} as m_score,

    orders = 1 as is_single_order
from ranked
