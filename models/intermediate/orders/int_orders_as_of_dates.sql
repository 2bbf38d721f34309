{% set given = var('as_of_date') %}
{% set as_of_date = "cast('" ~ given ~ "' as date)" if given else 'last_orders.order_date' %}

with source_systems as (

    select 'store' as source_system
    union all
    select 'restaurant' as source_system

),

last_orders as (

    select
        source_system,
        max(order_date) as order_date
    from {{ ref('int_orders_united') }}
    group by source_system

),

as_of_dates as (

    select
        source_systems.source_system,
        {{ as_of_date }} as as_of_date
    from source_systems
    left join last_orders
        on source_systems.source_system = last_orders.source_system

)

select
    source_system,
    as_of_date
from as_of_dates
where as_of_date is not null
