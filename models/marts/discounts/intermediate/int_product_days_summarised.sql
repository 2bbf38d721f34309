{% set touched -%}{% raw %}
    {{ changed_keys(['fct_order_items'], {'source_system': 'source_system', 'day': 'sales_date'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['sales_date', 'product_key'],
    scope=['source_system', 'sales_date'],
    emits={'day': 'sales_date'},
    touched=touched
)) }}

-- It is not cut at the as-of date, so that it changes only on the days whose lines changed.
select
    product_key,

    source_system,

    -- Of one system's orders the id is enough, and shorter than the key.
    count(distinct order_id) as orders,
    {{ sum_money('net_sales_amount') }} as net_sales,

    {{ any_true('discount_amount > 0') }} as is_discounted,

    order_date as sales_date
from {{ only_touched(
    ref('fct_order_items'),
    {'source_system': 'source_system', 'order_date': 'sales_date'}
) }}
where is_booked
group by
    product_key,
    source_system,
    order_date
