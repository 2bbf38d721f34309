-- Known: registered, or seen in an order of either system. A restaurant's customers are seen only.
with registered as (

    select
        source_system,
        customer_id,
        email_token,
        region,
        is_loyalty,
        signup_date
    from {{ ref('stg_store__customers') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

seen as (

    select
        customers.customer_key,
        customers.source_system,
        customers.customer_id,
        coalesce(customers.first_loyal_order_date <= as_of_dates.as_of_date, false) as has_loyal_order,
        customers.first_placed_order_date,
        customers.first_order_date
    from {{ ref('int_customers_seen') }} as customers
    inner join as_of_dates
        on customers.source_system = as_of_dates.source_system

)

select
    coalesce(
        seen.customer_key,
        {{ surrogate_key(['registered.source_system', 'registered.customer_id']) }}
    ) as customer_key,

    coalesce(registered.source_system, seen.source_system) as source_system,
    coalesce(registered.customer_id, seen.customer_id) as customer_id,
    registered.email_token,
    registered.region,

    coalesce(registered.is_loyalty, seen.has_loyal_order, false) as is_loyalty_member,
    registered.customer_id is null as is_inferred,

    registered.signup_date,
    seen.first_order_date,
    case
        when registered.signup_date is null or seen.first_placed_order_date < registered.signup_date
            then seen.first_placed_order_date
        else registered.signup_date
    end as known_since_date
from registered
full outer join seen
    on
        registered.source_system = seen.source_system
        and registered.customer_id = seen.customer_id
