{{ cohort_lifetime_values('cohort_month', 'month') }}
