{% set touched -%}{% raw %}
    {{ changed_keys(
        ['stg_store__customers', 'int_customers_seen'],
        {'source_system': 'source_system', 'key': 'customer_id'}
    ) }}

    union all

    -- Whose first loyal order the as-of date has reached, or has gone back before.
    select
        customers.source_system,
        customers.customer_id
    from {{ ref('int_customers_seen') }} as customers
    inner join (
        select
            source_system,
            min(day) as first_day,
            max(day) as last_day
        from {{ changes(ref('int_spend_windows_bounded')) }} as boundaries
        where key = 'as_of'
        group by source_system
    ) as moved
        on
            customers.source_system = moved.source_system
            and customers.first_loyal_order_date between moved.first_day and moved.last_day
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'customer_id'],
    scope=['source_system', 'customer_id'],
    emits={'key': 'customer_id', 'customer_key': 'customer_key', 'day': 'known_since_date'},
    touched=touched
)) }}

-- Known: registered, or seen in an order of either system. A restaurant's customers are seen only.
with registered as (

    select
        source_system,
        customer_id,
        email_token,
        region,
        is_loyalty,
        signup_date
    from {{ only_touched(ref('stg_store__customers')) }}

),

as_of_dates as (

    select
        source_system,
        boundary_date as as_of_date
    from {{ ref('int_spend_windows_bounded') }}
    where boundary = 'as_of'

),

seen as (

    select
        customers.customer_key,
        customers.source_system,
        customers.customer_id,
        coalesce(customers.first_loyal_order_date <= as_of_dates.as_of_date, false) as has_loyal_order,
        customers.first_placed_order_date,
        customers.first_order_date
    from {{ only_touched(ref('int_customers_seen'), alias='customers') }}
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
