{#- Per period type: the column of dim_date that starts it, and its last day. -#}
{% set periods = {
    'day': {'start': 'date_day', 'end': 'date_day'},
    'week': {'start': 'week_start', 'end': add_days('week_start', 6)},
    'month': {'start': 'month_start', 'end': add_days(start_of('month', add_days('month_start', 31)), -1)},
} %}

with activity_days as (

    select
        source_system,
        activity_date,
        sum(new_customers) as new_customers,
        sum(active_customers) as day_active_customers,
        sum(week_active_customers) as week_active_customers,
        sum(month_active_customers) as month_active_customers,
        sum(day_retained_customers) as day_retained_customers,
        sum(week_retained_customers) as week_retained_customers,
        sum(month_retained_customers) as month_retained_customers
    from {{ ref('int_cohort_days_summarised') }}
    where active_customers > 0
    group by
        source_system,
        activity_date

),

customers as (

    select
        source_system,
        known_since_date,
        count(*) as customers
    from {{ ref('dim_customer') }}
    group by
        source_system,
        known_since_date

),

-- A day with a placed order has a row, also where none was booked.
order_days as (

    select
        source_system,
        revenue_date
    from {{ ref('fct_revenue_daily') }}
    where orders_placed > 0

),

dates as (

    select
        date_day,
        week_start,
        month_start
    from {{ ref('dim_date') }}

),

as_of_dates as (

    select
        source_system,
        as_of_date
    from {{ ref('int_orders_as_of_dates') }}

),

bounds as (

    select
        source_system,
        min(revenue_date) as first_date,
        max(revenue_date) as last_date
    from order_days
    group by source_system

),

periods as (

    {% for period_type, columns in periods.items() %}
        select distinct
            bounds.source_system,
            '{{ period_type }}' as period_type,
            dates.{{ columns.start }} as period_start,
            {{ columns.end }} as period_end
        from bounds
        inner join dates
            on dates.date_day between bounds.first_date and bounds.last_date
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

activity as (

    {% for period_type in periods %}
        select
            source_system,
            '{{ period_type }}' as period_type,
            {{ start_of(period_type, 'activity_date') }} as period_start,
            sum({{ period_type }}_active_customers) as active_customers,
            sum(new_customers) as new_customers,
            sum({{ period_type }}_active_customers - new_customers) as repeat_customers,
            sum({{ period_type }}_retained_customers) as retained_customers
        from activity_days
        group by
            source_system,
            {{ start_of(period_type, 'activity_date') }}
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

-- Who was known before the system's first order counts from its first period on.
known as (

    select
        customers.source_system,
        customers.customers,
        greatest(customers.known_since_date, bounds.first_date) as known_date
    from customers
    inner join bounds
        on customers.source_system = bounds.source_system

),

additions as (

    {% for period_type in periods %}
        select
            source_system,
            '{{ period_type }}' as period_type,
            {{ start_of(period_type, 'known_date') }} as period_start,
            sum(customers) as added_customers
        from known
        group by
            source_system,
            {{ start_of(period_type, 'known_date') }}
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}

),

measured as (

    select
        periods.source_system,
        periods.period_type,
        periods.period_start,
        periods.period_end,
        sum(coalesce(additions.added_customers, 0)) over (
            partition by periods.source_system, periods.period_type
            order by periods.period_start
            rows between unbounded preceding and current row
        ) as total_customers,
        coalesce(activity.active_customers, 0) as active_customers,
        coalesce(activity.new_customers, 0) as new_customers,
        coalesce(activity.repeat_customers, 0) as repeat_customers,
        coalesce(activity.retained_customers, 0) as retained_customers,
        lag(coalesce(activity.active_customers, 0)) over (
            partition by periods.source_system, periods.period_type
            order by periods.period_start
        ) as previous_active_customers
    from periods
    left join activity
        on
            periods.source_system = activity.source_system
            and periods.period_type = activity.period_type
            and periods.period_start = activity.period_start
    left join additions
        on
            periods.source_system = additions.source_system
            and periods.period_type = additions.period_type
            and periods.period_start = additions.period_start

)

select
    measured.source_system,
    measured.period_type,

    cast(measured.total_customers as bigint) as total_customers,
    cast(measured.active_customers as bigint) as active_customers,
    cast(measured.new_customers as bigint) as new_customers,
    cast(measured.repeat_customers as bigint) as repeat_customers,
    cast(measured.retained_customers as bigint) as retained_customers,
    {{ divide('measured.active_customers', 'measured.total_customers') }} as active_customer_share,
    {{ divide('measured.retained_customers', 'measured.previous_active_customers') }}
        as period_retention_rate,

    measured.period_end <= as_of_dates.as_of_date as is_complete_period,

    measured.period_start,
    measured.period_end
from measured
inner join as_of_dates
    on measured.source_system = as_of_dates.source_system
