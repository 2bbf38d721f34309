select
    customer_key,

    source_system,
    customer_id,
    email_token,
    region,

    is_loyalty_member,
    is_inferred,

    signup_date,
    first_order_date,
    known_since_date
from {{ ref('int_customers_known') }}
