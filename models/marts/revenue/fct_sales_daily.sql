{% set touched -%}{% raw %}
    {{ changed_keys(['fct_order_items'], {'source_system': 'source_system', 'day': 'sales_date'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['sales_date', 'sales_day_key'],
    scope=['source_system', 'sales_date'],
    emits={'day': 'sales_date'},
    touched=touched
)) }}

with sales as (

    select
        source_system,
        location_key,
        category,
        day_part,
        order_date as sales_date,
        count(distinct order_key) as orders,
        {{ sum_money('quantity') }} as units,
        {{ sum_money('gross_amount') }} as gross_revenue,
        {{ sum_money('discount_amount') }} as discounts,
        {{ sum_money('net_sales_amount') }} as net_sales
    from {{ only_touched(
        ref('fct_order_items'),
        {'source_system': 'source_system', 'order_date': 'sales_date'}
    ) }}
    where is_booked
    group by
        source_system,
        location_key,
        category,
        day_part,
        order_date

)

select
    {{ surrogate_key(['source_system', 'location_key', 'category', 'day_part', 'sales_date']) }}
        as sales_day_key,
    location_key,

    source_system,
    category,
    day_part,

    cast(orders as bigint) as orders,
    units,
    gross_revenue,
    discounts,
    net_sales,

    sales_date
from sales
