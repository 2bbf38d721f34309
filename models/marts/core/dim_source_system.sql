-- What a date means for "complete" is told here once: metrics that compare periods look only at whole ones.
with as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

)

select
    source_system,

    as_of_date,
    {{ add_days(start_of('week', add_days('as_of_date', 1)), -1) }} as complete_week_end,
    {{ add_days(start_of('month', add_days('as_of_date', 1)), -1) }} as complete_month_end,
    {{ add_days(start_of('quarter', add_days('as_of_date', 1)), -1) }} as complete_quarter_end,
    {{ add_days(start_of('year', add_days('as_of_date', 1)), -1) }} as complete_year_end
from as_of_dates
