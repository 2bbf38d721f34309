{{ config(materialized='view', meta={'rows_of': 'int_customers_summarised'}) }}

with customers as (

    select
        source_system,
        customer_key,
        orders,
        r_score,
        f_score,
        m_score,
        lifetime_value_to_date,
        is_single_order,
        last_order_date,
        as_of_date
    from {{ ref('int_customers_scored') }}

),

rules as (

    select
        segment,
        match_order,
        minimum_r_score,
        maximum_r_score,
        minimum_f_score,
        maximum_f_score,
        minimum_m_score,
        maximum_m_score,
        is_single_order_required
    from {{ ref('segment_rules') }}

),

scores as (

    {% for score in range(1, 6) %}
        select {{ score }} as score
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

-- Rules are matched once per combination of scores, not once per customer; so a few customers are read by themselves.
combinations as (

    select
        r_scores.score as r_score,
        f_scores.score as f_score,
        m_scores.score as m_score,
        order_counts.is_single_order
    from scores as r_scores
    cross join scores as f_scores
    cross join scores as m_scores
    cross join (
        select true as is_single_order
        union all
        select false as is_single_order
    ) as order_counts

),

matched as (

    select
        combinations.r_score,
        combinations.f_score,
        combinations.m_score,
        combinations.is_single_order,
        rules.segment,
        row_number() over (
            partition by
                combinations.r_score,
                combinations.f_score,
                combinations.m_score,
                combinations.is_single_order
            order by rules.match_order
        ) as match_number
    from combinations
    inner join rules
        on
            combinations.r_score between rules.minimum_r_score and rules.maximum_r_score
            and combinations.f_score between rules.minimum_f_score and rules.maximum_f_score
            and combinations.m_score between rules.minimum_m_score and rules.maximum_m_score
            and (combinations.is_single_order or not rules.is_single_order_required)

)

select
    customers.customer_key,

    customers.source_system,
    matched.segment,

    {{ days_between('customers.last_order_date', 'customers.as_of_date') }} as recency_days,
    customers.orders as frequency,
    customers.lifetime_value_to_date as monetary,
    customers.r_score,
    customers.f_score,
    customers.m_score,

    customers.last_order_date,
    customers.as_of_date
from customers
-- A customer that no rule matches stays, without a segment: the not_null test tells of it.
left join matched
    on
        customers.r_score = matched.r_score
        and customers.f_score = matched.f_score
        and customers.m_score = matched.m_score
        and customers.is_single_order = matched.is_single_order
        and matched.match_number = 1
