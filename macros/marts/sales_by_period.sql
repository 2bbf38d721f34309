{% macro sales_by_period(period) -%}
{%- set longest = {'week': 7, 'month': 31}[period] -%}
{%- set days_of_periods -%}
    select
        source_system,
        sales_date
    from (
        {%- for offset in range(longest) %}
        select
            source_system,
            {{ period }}_start,
            {{ add_days(period ~ '_start', offset) }} as sales_date
        from {{ temporary_name('touched') }}
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    ) as days
    where {{ start_of(period, 'sales_date') }} = {{ period }}_start
{%- endset %}
with daily as (

    select
        source_system,
        location_key,
        category,
        day_part,
        orders,
        units,
        gross_revenue,
        discounts,
        net_sales,
        {{ start_of(period, 'sales_date') }} as {{ period }}_start
    from {{ only_touched(
        ref('fct_sales_daily'),
        {'source_system': 'source_system', 'sales_date': 'sales_date'},
        days_of_periods
    ) }}

),

-- An order has one day, one location and one day part, so distinct orders of a category add up over days.
sales as (

    select
        source_system,
        location_key,
        category,
        day_part,
        {{ period }}_start,
        sum(orders) as orders,
        {{ sum_money('units') }} as units,
        {{ sum_money('gross_revenue') }} as gross_revenue,
        {{ sum_money('discounts') }} as discounts,
        {{ sum_money('net_sales') }} as net_sales
    from daily
    group by
        source_system,
        location_key,
        category,
        day_part,
        {{ period }}_start

)

select
    {{ surrogate_key(['source_system', 'location_key', 'category', 'day_part', period ~ '_start']) }}
        as sales_{{ period }}_key,
    location_key,

    source_system,
    category,
    day_part,

    cast(orders as bigint) as orders,
    units,
    gross_revenue,
    discounts,
    net_sales,

    {{ period }}_start
from sales
{%- endmacro %}
