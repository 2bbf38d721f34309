{% set touched -%}{% raw %}
    {{ changed_keys(
        ['stg_restaurant__order_item_options', 'stg_restaurant__order_items'],
        {'key': 'order_id'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_id', 'line_id', 'batch_id'],
    scope=['order_id'],
    touched=touched
)) }}

with options as (

    select
        order_id,
        line_id,
        _feed as feed,
        _batch_id as batch_id
    from {{ only_touched(ref('stg_restaurant__order_item_options')) }}

),

lines as (

    select
        order_id,
        line_id
    from {{ only_touched(ref('stg_restaurant__order_items')) }}

)

select
    options.order_id,
    options.line_id,
    options.batch_id,

    'restaurant' as source_system,
    options.feed,

    cast(count(*) as bigint) as option_rows
from options
left join lines
    on
        options.order_id = lines.order_id
        and options.line_id = lines.line_id
where lines.order_id is null
group by
    options.order_id,
    options.line_id,
    options.batch_id,
    options.feed
