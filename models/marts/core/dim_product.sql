with catalogue as (

    select
        product_version_key,
        product_key,
        source_system,
        product_id,
        product_name,
        category,
        list_price,
        unit_cost,
        valid_from,
        valid_to,
        valid_from_date
    from {{ ref('int_products_versioned') }}

),

listings as (

    select
        source_system,
        product_id,
        is_discontinued
    from {{ ref('stg_store__product_listings') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

-- Current is the last version that began by the as-of date; of a product yet to come, its first.
dated as (

    select
        catalogue.product_version_key,
        catalogue.product_key,
        catalogue.source_system,
        catalogue.product_id,
        catalogue.product_name,
        catalogue.category,
        catalogue.list_price,
        catalogue.unit_cost,
        coalesce(listings.is_discontinued, false) as is_discontinued,
        catalogue.valid_from,
        catalogue.valid_to,
        max(
            case
                when as_of_dates.as_of_date is null or catalogue.valid_from_date <= as_of_dates.as_of_date
                    then catalogue.valid_from
            end
        ) over (partition by catalogue.product_key) as last_begun_at,
        min(catalogue.valid_from) over (partition by catalogue.product_key) as first_begun_at
    from catalogue
    left join listings
        on
            catalogue.source_system = listings.source_system
            and catalogue.product_id = listings.product_id
    left join as_of_dates
        on catalogue.source_system = as_of_dates.source_system

),

restaurant_items as (

    select
        product_version_key,
        product_key,
        source_system,
        product_id,
        category,
        valid_from
    from {{ ref('int_restaurant_items_listed') }}

),

versions as (

    select
        product_version_key,
        product_key,
        source_system,
        product_id,
        product_name,
        category,
        list_price,
        unit_cost,
        valid_from = coalesce(last_begun_at, first_begun_at) as is_current,
        is_discontinued,
        valid_from,
        valid_to
    from dated

    union all

    select
        product_version_key,
        product_key,
        source_system,
        product_id,
        product_id as product_name,
        category,
        cast(null as numeric(18, 4)) as list_price,
        cast(null as numeric(18, 4)) as unit_cost,
        true as is_current,
        false as is_discontinued,
        valid_from,
        cast(null as timestamp) as valid_to
    from restaurant_items

)

select
    product_version_key,
    product_key,

    source_system,
    product_id,
    product_name,
    coalesce(category, 'unknown') as category,

    list_price,
    unit_cost,

    is_current,
    is_discontinued,

    valid_from,
    valid_to
from versions
