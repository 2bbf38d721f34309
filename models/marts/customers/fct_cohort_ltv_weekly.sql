{{ cohort_lifetime_values('cohort_week', 'week') }}
