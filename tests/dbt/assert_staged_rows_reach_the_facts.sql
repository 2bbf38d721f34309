-- Conservation: every staged order and line is in its fact once. Fan-out is what the primary keys refuse. Whether
-- a restaurant's lines name just the orders that are derived from them is counted once a week
-- (assert_staged_restaurant_orders_reach_the_facts).
with counts as (

    select
        'store orders' as what,
        (select count(*) from {{ ref('stg_store__orders') }}) as staged,
        (
            select count(*) from {{ ref('fct_orders') }}
            where source_system = 'store'
        ) as in_fact

    union all

    select
        'restaurant orders' as what,
        (select count(*) from {{ ref('int_restaurant_orders_derived') }}) as staged,
        (
            select count(*) from {{ ref('fct_orders') }}
            where source_system = 'restaurant'
        ) as in_fact

    union all

    select
        'store lines' as what,
        (select count(*) from {{ ref('stg_store__order_items') }}) as staged,
        (
            select count(*) from {{ ref('fct_order_items') }}
            where source_system = 'store'
        ) as in_fact

    union all

    select
        'restaurant lines' as what,
        (select count(*) from {{ ref('stg_restaurant__order_items') }}) as staged,
        (
            select count(*) from {{ ref('fct_order_items') }}
            where source_system = 'restaurant'
        ) as in_fact

)

select
    what,
    staged,
    in_fact
from counts
where staged <> in_fact
