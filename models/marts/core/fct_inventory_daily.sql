{% set touched -%}{% raw %}
    select day as snapshot_date from {{ changes(ref('stg_store__inventory')) }} as changed_counts

    union all

    -- A sale stands in the window of its own day and of the 27 after it.
    {{ spread_days(
        '(select day from ' ~ changes(ref('fct_order_items')) ~ " as feed where source_system = 'store') as sales",
        'day', 0, 27, 'snapshot_date'
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['snapshot_date', 'inventory_key'],
    scope=['snapshot_date'],
    emits={'key': 'product_id', 'day': 'snapshot_date'},
    touched=touched
)) }}

-- Days of trade that the cover looks back on, the count's own day included.
{% set cover_days = 28 %}
{% set days_looked_back_on = spread_days(
    temporary_name('touched'), 'snapshot_date', 1 - cover_days, 0, 'sales_date'
) %}

with counts as (

    select
        {{ surrogate_key(['source_system', 'product_id', 'snapshot_date']) }} as inventory_key,
        {{ surrogate_key(['source_system', 'product_id']) }} as product_key,
        source_system,
        product_id,
        on_hand,
        allocated,
        on_hand - allocated as available,
        reorder_point,
        snapshot_date
    from {{ only_touched(ref('stg_store__inventory')) }}

),

sales as (

    select
        product_key,
        order_date,
        {{ sum_money('quantity') }} as units
    from {{ only_touched(
        ref('fct_order_items'),
        {'order_date': 'sales_date'},
        days_looked_back_on
    ) }}
    where
        source_system = 'store'
        and is_booked
    group by
        product_key,
        order_date

),

-- Units enter the window on the day of the order and leave it so many days later: one running sum per product
-- in place of a join over every day of every window.
movements as (

    select
        product_key,
        units as sold,
        units as moved,
        order_date as date_day
    from sales

    union all

    select
        product_key,
        0 as sold,
        -units as moved,
        {{ add_days('order_date', cover_days) }} as date_day
    from sales

    union all

    select
        product_key,
        0 as sold,
        0 as moved,
        snapshot_date as date_day
    from counts

),

daily_movements as (

    select
        product_key,
        date_day,
        sum(sold) as sold,
        sum(moved) as moved
    from movements
    group by
        product_key,
        date_day

),

windows as (

    select
        product_key,
        date_day,
        sold,
        sum(moved) over (
            partition by product_key
            order by date_day
            rows between unbounded preceding and current row
        ) as sold_in_window
    from daily_movements

)

select
    counts.inventory_key,
    counts.product_key,

    counts.source_system,
    counts.product_id,

    counts.on_hand,
    counts.allocated,
    {{ money('counts.available') }} as available,
    counts.reorder_point,
    cast(windows.sold as numeric(38, 4)) as units_sold,
    cast(windows.sold_in_window as numeric(38, 4)) as units_sold_28_days,
    case
        when windows.sold_in_window = 0 then cast(null as double precision)
        when counts.available <= 0 then cast(0 as double precision)
        else {{ divide('counts.available * ' ~ cover_days, 'windows.sold_in_window') }}
    end as days_of_cover,

    counts.available < counts.reorder_point as is_alert,
    counts.available <= 0 as is_stockout,

    counts.snapshot_date
from counts
inner join windows
    on
        counts.product_key = windows.product_key
        and counts.snapshot_date = windows.date_day
