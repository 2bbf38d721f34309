{% set horizons = [7, 30, 90] %}

with days as (

    select
        source_system,
        customer_key,
        orders,
        net_sales_amount,
        refund_amount,
        activity_date
    from {{ ref('int_customer_days_summarised') }}

),

customers as (

    select
        source_system,
        customer_key,
        first_order_date,
        as_of_date
    from {{ ref('int_customers_summarised') }}

),

horizons as (

    {% for horizon in horizons %}
        select {{ horizon }} as horizon_days
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

numbered as (

    select
        customers.source_system,
        customers.customer_key,
        days.orders,
        days.net_sales_amount,
        days.refund_amount,
        {{ days_between('customers.first_order_date', 'days.activity_date') }} as day_number,
        {{ days_between('customers.first_order_date', 'customers.as_of_date') }} as days_observed,
        customers.first_order_date
    from customers
    inner join days
        on customers.customer_key = days.customer_key
    where
        days.activity_date >= customers.first_order_date
        and days.activity_date <= customers.as_of_date

),

measured as (

    select
        numbered.source_system,
        numbered.customer_key,
        horizons.horizon_days,
        sum(numbered.net_sales_amount - numbered.refund_amount) as lifetime_value,
        -- A second order on the first day is no return.
        max(case when numbered.day_number > 0 and numbered.orders > 0 then 1 else 0 end) as later_order_days,
        max(numbered.days_observed) as days_observed,
        numbered.first_order_date
    from numbered
    inner join horizons
        on numbered.day_number <= horizons.horizon_days
    group by
        numbered.source_system,
        numbered.customer_key,
        horizons.horizon_days,
        numbered.first_order_date

)

select
    source_system,

    customer_key,

    cast(horizon_days as integer) as horizon_days,
    cast(lifetime_value as numeric(38, 4)) as lifetime_value,

    days_observed >= horizon_days as is_mature,
    later_order_days > 0 as is_retained,

    first_order_date,
    {{ start_of('week', 'first_order_date') }} as cohort_week,
    {{ start_of('month', 'first_order_date') }} as cohort_month
from measured
