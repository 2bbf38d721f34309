-- One row per currency and day keeps every later join an equality: the newest rate on or before the day.
with rates as (

    select
        currency,
        rate,
        rate_date,
        lead(rate_date) over (partition by currency order by rate_date) as next_rate_date
    from {{ ref('fx_rates') }}
    where currency <> '{{ reporting_currency() }}'

),

last_events as (

    select max(order_date) as event_date from {{ ref('stg_store__orders') }}
    union all
    -- A payment that arrives before its order is converted on a day of its own.
    select max(payment_date) as event_date from {{ ref('stg_store__payments') }}
    union all
    -- A day more than the UTC date covers every time zone.
    select {{ add_days('cast(max(ordered_at) as date)', 1) }} as event_date
    from {{ ref('stg_restaurant__order_items') }}

),

bounds as (

    select
        (select min(rate_date) from rates) as first_date,
        (select max(event_date) from last_events) as last_date

),

days as (

    {{ date_series('first_date', 'last_date', 'bounds') | indent(4) }}

)

select
    rates.currency,
    cast(rates.rate as numeric(18, 8)) as exchange_rate,
    days.date_day
from rates
inner join days
    on
        rates.rate_date <= days.date_day
        and (rates.next_rate_date is null or rates.next_rate_date > days.date_day)
