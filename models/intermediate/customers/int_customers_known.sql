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
        orders.source_system,
        orders.customer_id,
        {{ any_true('orders.is_loyalty and orders.is_booked and orders.order_date <= as_of_date') }} as has_loyal_order,
        min(orders.order_date) as first_placed_order_date,
        min(case when orders.is_booked then orders.order_date end) as first_order_date
    from {{ ref('int_orders_united') }} as orders
    inner join as_of_dates
        on orders.source_system = as_of_dates.source_system
    where orders.customer_id is not null
    group by
        orders.source_system,
        orders.customer_id

),

united as (

    select
        coalesce(registered.source_system, seen.source_system) as source_system,
        coalesce(registered.customer_id, seen.customer_id) as customer_id,
        registered.email_token,
        registered.region,
        coalesce(registered.is_loyalty, seen.has_loyal_order, false) as is_loyalty_member,
        registered.customer_id is null as is_inferred,
        registered.signup_date,
        seen.first_placed_order_date,
        seen.first_order_date
    from registered
    full outer join seen
        on
            registered.source_system = seen.source_system
            and registered.customer_id = seen.customer_id

)

select
    {{ surrogate_key(['source_system', 'customer_id']) }} as customer_key,
    source_system,
    customer_id,
    email_token,
    region,
    is_loyalty_member,
    is_inferred,
    signup_date,
    first_order_date,
    case
        when signup_date is null or first_placed_order_date < signup_date then first_placed_order_date
        else signup_date
    end as known_since_date
from united
