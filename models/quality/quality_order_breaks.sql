{% set touched -%}{% raw %}
    {{ changed_keys(
        ['fct_orders', 'stg_store__orders', 'stg_restaurant__order_items'],
        {'source_system': 'source_system', 'key': 'order_id'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['source_system', 'order_id'],
    scope=['source_system', 'order_id'],
    touched=touched
)) }}

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
    from {{ only_touched(ref('fct_orders')) }}

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

broken as (

    select *
    from classified
    where classification <> 'matched'

),

headers as (

    select
        source_system,
        order_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ only_touched(ref('stg_store__orders')) }}

),

-- Few orders break: of the others the lines need no order.
restaurant_headers as (

    select
        source_system,
        order_id,
        _feed as feed,
        _batch_id as batch_id,
        {{ version_rank(['order_id']) }} as recency
    from {{ only_touched(ref('stg_restaurant__order_items'), alias='lines') }}
    where exists (
        select 1
        from broken
        where
            broken.source_system = lines.source_system
            and broken.order_id = lines.order_id
    )

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
    broken.order_key,
    broken.order_id,
    delivered.batch_id,

    broken.source_system,
    delivered.feed,
    broken.status,
    broken.currency,
    broken.classification,

    broken.transaction_header_total_amount,
    broken.transaction_net_sales_amount,
    broken.header_difference_amount,

    broken.order_date,
    deliveries.delivery_date
from broken
left join delivered
    on
        broken.source_system = delivered.source_system
        and broken.order_id = delivered.order_id
left join deliveries
    on delivered.batch_id = deliveries.batch_id
