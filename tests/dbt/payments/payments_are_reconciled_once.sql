-- Every payment is in one day and in one reconciled order: three sums of the same money.
with facts as (

    select
        count(*) as payments,
        coalesce(sum(case when is_succeeded then amount else 0 end), 0) as amount
    from {{ ref('fct_payments') }}

),

days as (

    select
        coalesce(sum(payments), 0) as payments,
        coalesce(sum(payment_amount), 0) as amount
    from {{ ref('mart_payments_daily') }}

),

reconciled as (

    select
        coalesce(sum(payments), 0) as payments,
        coalesce(sum(paid_amount), 0) as amount
    from {{ ref('mart_payment_reconciliation') }}

)

select
    facts.payments,
    facts.amount,
    days.payments as payments_by_day,
    days.amount as amount_by_day,
    reconciled.payments as payments_reconciled,
    reconciled.amount as amount_reconciled
from facts
cross join days
cross join reconciled
where
    facts.payments <> days.payments
    or facts.amount <> days.amount
    or facts.payments <> reconciled.payments
    or facts.amount <> reconciled.amount
