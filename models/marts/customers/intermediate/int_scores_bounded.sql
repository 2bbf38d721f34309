{#- Ascending orders are better. -#}
{% set measures = {'r': 'last_order_date', 'f': 'orders', 'm': 'lifetime_value_to_date'} %}

-- score = 1 + floor(5 × number of customers strictly worse / number of customers), per source system. Ties share it.
-- A score only grows with the value, so the lowest value of each score is enough to score anybody. Values are counted
-- before they are ordered: dates and numbers of orders are few.
-- Ascending order only, because engines disagree on where a descending sort puts nulls.
with customers as (

    select
        source_system,
        orders,
        lifetime_value_to_date,
        last_order_date
    from {{ ref('int_customers_summarised') }}

),

totals as (

    select
        source_system,
        count(*) as customers
    from customers
    group by source_system

),

{% for measure, column in measures.items() %}
    {{ measure }}_ranked as (

        select
            source_system,
            {{ column }},
            sum(count(*)) over (
                partition by source_system
                order by {{ column }}
                rows between unbounded preceding and current row
            ) - count(*) as customers_worse
        from customers
        group by
            source_system,
            {{ column }}

    ),

    {{ measure }}_bounds as (

        select
            source_system,
            {% for score in range(2, 6) %}
                min(case when score = {{ score }} then {{ column }} end) as {{ measure }}_{{ score }}_from
                {%- if not loop.last %},{% endif %}
            {% endfor %}
        from (
            select
                ranked.source_system,
                ranked.{{ column }},
                {{ quintile_score('ranked.customers_worse', 'totals.customers') }} as score
            from {{ measure }}_ranked as ranked
            inner join totals
                on ranked.source_system = totals.source_system
        ) as scored
        group by source_system

    ){% if not loop.last %},{% endif %}

{% endfor %}

select
    r_bounds.source_system,
    {% for measure in measures %}
        {%- set outer_loop = loop %}
        {% for score in range(2, 6) %}
            {% set bound = measure ~ '_bounds.' ~ measure ~ '_' ~ score ~ '_from' %}
            {%- if measure == 'm' -%}
                cast({{ bound }} as numeric(38, 4)) as m_{{ score }}_from
            {%- else -%}
                {{ bound }}
            {%- endif %}
            {%- if not (loop.last and outer_loop.last) %},{% endif %}
        {% endfor %}
    {% endfor %}
from r_bounds
inner join f_bounds
    on r_bounds.source_system = f_bounds.source_system
inner join m_bounds
    on r_bounds.source_system = m_bounds.source_system
