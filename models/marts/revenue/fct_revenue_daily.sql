{% set touched -%}{% raw %}
    {{ changed_keys(['fct_orders', 'fct_returns'], {'source_system': 'source_system', 'day': 'revenue_date'}) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['revenue_date', 'revenue_day_key'],
    scope=['source_system', 'revenue_date'],
    emits={'day': 'revenue_date'},
    touched=touched
)) }}

with ordered as (

    select
        source_system,
        location_key,
        order_date as revenue_date,
        {{ sum_money('header_total_amount') }} as total_order_amount,
        count(*) as orders_placed,
        {{ count_when('is_booked') }} as orders,
        {{ count_when('is_booked and has_return') }} as returned_orders,
        {{ sum_money_when('is_booked', 'units') }} as units,
        {{ sum_money_when('is_booked', 'returned_units') }} as returned_units,
        {{ sum_money_when('is_booked', 'lines') }} as lines,
        {{ sum_money_when('is_booked', 'lines_with_cost') }} as lines_with_cost,
        {{ sum_money_when('is_booked', 'gross_amount') }} as gross_revenue,
        {{ sum_money_when('is_booked', 'discount_amount') }} as discounts,
        {{ sum_money_when('is_booked', 'cost_amount') }} as cost,
        {{ sum_money_when('is_booked', 'net_sales_with_cost_amount') }} as net_sales_with_cost,
        {{ count_distinct_when('is_booked', 'customer_key') }} as customers,
        {{ count_distinct_when('is_booked and customer_first_order_date = order_date', 'customer_key') }}
            as new_customers,
        {{ count_distinct_when('is_booked and customer_first_order_date < order_date', 'customer_key') }}
            as repeat_customers
    from {{ only_touched(
        ref('fct_orders'),
        {'source_system': 'source_system', 'order_date': 'revenue_date'}
    ) }}
    group by
        source_system,
        location_key,
        order_date

),

refunded as (

    select
        source_system,
        location_key,
        return_date as revenue_date,
        {{ sum_money('eligible_refund_amount') }} as refunds,
        {{ sum_money_when('has_cost', 'eligible_refund_amount') }} as refunds_with_cost
    from {{ only_touched(
        ref('fct_returns'),
        {'source_system': 'source_system', 'return_date': 'revenue_date'}
    ) }}
    where eligible_refund_amount <> 0
    group by
        source_system,
        location_key,
        return_date

),

combined as (

    select
        coalesce(ordered.source_system, refunded.source_system) as source_system,
        coalesce(ordered.location_key, refunded.location_key) as location_key,
        coalesce(ordered.revenue_date, refunded.revenue_date) as revenue_date,
        coalesce(ordered.total_order_amount, 0) as total_order_amount,
        coalesce(ordered.orders_placed, 0) as orders_placed,
        coalesce(ordered.orders, 0) as orders,
        coalesce(ordered.returned_orders, 0) as returned_orders,
        coalesce(ordered.units, 0) as units,
        coalesce(ordered.returned_units, 0) as returned_units,
        coalesce(ordered.lines, 0) as lines,
        coalesce(ordered.lines_with_cost, 0) as lines_with_cost,
        coalesce(ordered.gross_revenue, 0) as gross_revenue,
        coalesce(ordered.discounts, 0) as discounts,
        coalesce(ordered.cost, 0) as cost,
        coalesce(ordered.net_sales_with_cost, 0) as net_sales_with_cost,
        coalesce(refunded.refunds, 0) as refunds,
        coalesce(refunded.refunds_with_cost, 0) as refunds_with_cost,
        coalesce(ordered.customers, 0) as customers,
        coalesce(ordered.new_customers, 0) as new_customers,
        coalesce(ordered.repeat_customers, 0) as repeat_customers
    from ordered
    full outer join refunded
        on
            ordered.source_system = refunded.source_system
            and ordered.location_key = refunded.location_key
            and ordered.revenue_date = refunded.revenue_date

)

select
    {{ surrogate_key(['source_system', 'location_key', 'revenue_date']) }} as revenue_day_key,
    location_key,

    source_system,

    cast(total_order_amount as numeric(38, 4)) as total_order_amount,
    cast(orders_placed as bigint) as orders_placed,
    cast(orders as bigint) as orders,
    cast(returned_orders as bigint) as returned_orders,
    cast(units as numeric(38, 4)) as units,
    cast(returned_units as numeric(38, 4)) as returned_units,
    cast(lines as bigint) as lines,
    cast(lines_with_cost as bigint) as lines_with_cost,
    cast(gross_revenue as numeric(38, 4)) as gross_revenue,
    cast(discounts as numeric(38, 4)) as discounts,
    cast(gross_revenue - discounts as numeric(38, 4)) as net_sales,
    cast(refunds as numeric(38, 4)) as refunds,
    cast(gross_revenue - discounts - refunds as numeric(38, 4)) as net_revenue,
    cast(cost as numeric(38, 4)) as cost,
    cast(net_sales_with_cost as numeric(38, 4)) as net_sales_with_cost,
    cast(refunds_with_cost as numeric(38, 4)) as refunds_with_cost,
    cast(customers as bigint) as customers,
    cast(new_customers as bigint) as new_customers,
    cast(repeat_customers as bigint) as repeat_customers,
    {{ divide('gross_revenue - discounts', 'orders') }} as average_order_value,

    revenue_date
from combined
