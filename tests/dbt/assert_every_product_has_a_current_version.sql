-- Marts that join the current version would otherwise lose a product without a sound.
select product_key
from {{ ref('dim_product') }}
group by product_key
having {{ count_when('is_current') }} <> 1
