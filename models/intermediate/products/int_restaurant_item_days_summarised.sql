{% set touched -%}{% raw %}
    {{ changed_keys(['int_restaurant_orders_derived'], {'day': 'order_date'}) }}

    union all

    -- Lines change while their order does not.
    select orders.order_date
    from {{ changes(ref('stg_restaurant__order_items')) }} as changed_lines
    inner join {{ ref('int_restaurant_orders_derived') }} as orders
        on changed_lines.key = orders.order_id
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['order_date', 'item_name'],
    scope=['order_date'],
    touched=touched
)) }}

-- What the list of items is made of, so that it reads days and not lines.
with orders as (

    select
        order_id,
        ordered_at,
        order_date
    from {{ only_touched(ref('int_restaurant_orders_derived')) }}

),

-- Joined once: lines that are read in two places would be collected whole.
sold_lines as (

    select
        lines.source_system,
        lines.order_id,
        lines.line_id,
        lines.item_name,
        lines.category,
        lines.ordered_at,
        orders.ordered_at as sold_at,
        orders.order_date
    from {{ ref('stg_restaurant__order_items') }} as lines
    inner join orders
        on lines.order_id = orders.order_id

),

-- The time of the order, which is that of its first line, tells when it was sold; the line's own, which was sold last.
days as (

    select
        source_system,
        item_name,
        min(sold_at) as first_sold_at,
        max(ordered_at) as last_sold_at,
        order_date
    from sold_lines
    group by
        source_system,
        item_name,
        order_date

),

-- Ranking the lines of an item's last moment costs a tenth of ranking all its lines.
last_lines as (

    select
        days.source_system,
        days.item_name,
        sold_lines.order_id,
        sold_lines.line_id,
        sold_lines.category,
        days.first_sold_at,
        days.last_sold_at,
        days.order_date,
        row_number() over (
            partition by days.order_date, days.item_name
            order by {{ text_order('sold_lines.order_id') }} desc, {{ text_order('sold_lines.line_id') }} desc
        ) as recency
    from days
    inner join sold_lines
        on
            days.item_name = sold_lines.item_name
            and days.order_date = sold_lines.order_date
            and days.last_sold_at = sold_lines.ordered_at

)

select
    source_system,
    item_name,
    order_id as last_order_id,
    line_id as last_line_id,
    category as last_category,
    first_sold_at,
    last_sold_at,
    order_date
from last_lines
where recency = 1
