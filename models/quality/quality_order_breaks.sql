with orders as (

    select
        order_key,
        order_id,
        source_system,
        status,
        currency,
        exchange_rate,
        lines,
        discount_amount,
        transaction_header_total_amount,
        transaction_net_sales_amount,
        header_difference_amount,
        has_conflicting_lines,
        order_date
    from {{ ref('fct_orders') }}

),

classified as (

    select
        order_key,
        order_id,
        source_system,
        status,
        currency,
        transaction_header_total_amount,
        transaction_net_sales_amount,
        header_difference_amount,
        case
            when has_conflicting_lines then 'lines_disagree'
            when source_system <> 'store' then 'matched'
            when lines = 0 then 'no_lines'
            when header_difference_amount is null then 'several_currencies'
            when header_difference_amount = 0 then 'matched'
            when abs(header_difference_amount) <= 0.01 * lines then 'rounding'
            when exchange_rate = 1 and header_difference_amount = discount_amount
                then 'header_before_discount'
            when transaction_header_total_amount = transaction_net_sales_amount then 'header_without_extras'
            when header_difference_amount > 0 then 'header_above_lines'
            else 'header_below_lines'
        end as classification,
        order_date
    from orders

),

headers as (

    select
        source_system,
        order_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ ref('stg_store__orders') }}

),

restaurant_headers as (

    select
        source_system,
        order_id,
        _feed as feed,
        _batch_id as batch_id,
        row_number() over (partition by order_id order by _load_sequence desc, _row_number desc) as recency
    from {{ ref('stg_restaurant__order_items') }}

),

delivered as (

    select
        source_system,
        order_id,
        feed,
        batch_id
    from headers

    union all

    select
        source_system,
        order_id,
        feed,
        batch_id
    from restaurant_headers
    where recency = 1

),

deliveries as (

    select
        batch_id,
        delivery_date
    from {{ ref('quality_deliveries') }}

)

select
    classified.order_key,
    classified.order_id,
    delivered.batch_id,

    classified.source_system,
    delivered.feed,
    classified.status,
    classified.currency,
    classified.classification,

    classified.transaction_header_total_amount,
    classified.transaction_net_sales_amount,
    classified.header_difference_amount,

    classified.order_date,
    deliveries.delivery_date
from classified
left join delivered
    on
        classified.source_system = delivered.source_system
        and classified.order_id = delivered.order_id
left join deliveries
    on delivered.batch_id = deliveries.batch_id
where classified.classification <> 'matched'
