{% set touched -%}{% raw %}
    {{ changed_keys(['stg_restaurant__order_items'], {'key': 'order_id'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id'],
    scope=['order_id'],
    emits={'key': 'order_id', 'day': 'order_date'},
    touched=touched
)) }}

-- A restaurant order has no header of its own: its first line gives it, and lines that disagree are flagged.
with lines as (

    select
        order_id,
        customer_id,
        location_id,
        sales_channel,
        currency,
        is_loyalty,
        ordered_at,
        _business_timezone,
        row_number() over (
            partition by order_id
            order by ordered_at, {{ text_order('line_id') }}
        ) as line_rank
    from {{ only_touched(ref('stg_restaurant__order_items')) }}

),

agreements as (

    select
        order_id,
        {{ any_true('is_loyalty') }} as is_loyalty,
        not(
            min(location_id) = max(location_id)
            and min(currency) = max(currency)
            and min(ordered_at) = max(ordered_at)
            and (
                count(customer_id) = 0
                or (count(customer_id) = count(*) and min(customer_id) = max(customer_id))
            )
            and (
                count(sales_channel) = 0
                or (count(sales_channel) = count(*) and min(sales_channel) = max(sales_channel))
            )
            and min(case when is_loyalty then 1 else 0 end) = max(case when is_loyalty then 1 else 0 end)
        ) as has_conflicting_lines
    from lines
    group by order_id

),

first_lines as (

    select *
    from lines
    where line_rank = 1

),

{{ with_local_time('first_lines', 'ordered_at', 'ordered_at_local') }}

select
    'restaurant' as source_system,
    localised.order_id,
    localised.customer_id,
    localised.location_id,
    localised.sales_channel,
    localised.currency,
    agreements.is_loyalty,
    agreements.has_conflicting_lines,
    localised.ordered_at,
    localised.ordered_at_local,
    cast(localised.ordered_at_local as date) as order_date
from localised
inner join agreements
    on localised.order_id = agreements.order_id
{{ clustered_by(['order_date']) }}
