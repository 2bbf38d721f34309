-- Every later join to dim_date trusts that each day between the ends is there.
select
    count(*) as days,
    min(date_day) as first_day,
    max(date_day) as last_day
from {{ ref('dim_date') }}
having count(*) <> coalesce({{ days_between('min(date_day)', 'max(date_day)') }} + 1, 0)
