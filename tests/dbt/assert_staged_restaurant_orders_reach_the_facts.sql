{{ config(tags=['weekly']) }}

-- Conservation: every order that a restaurant's lines name is in the fact once. Telling them apart reads all lines.
with counts as (

    select
        (select count(distinct order_id) from {{ ref('stg_restaurant__order_items') }}) as staged,
        (
            select count(*) from {{ ref('fct_orders') }}
            where source_system = 'restaurant'
        ) as in_fact

)

select
    staged,
    in_fact
from counts
where staged <> in_fact
