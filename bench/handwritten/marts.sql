-- The public marts in one go, from raw.* and the seeds: the lower bound that the models are measured against.
-- No layers, contracts, tests or lineage. It trusts what is known of the company: a system keeps one business
-- time zone, so the dates of a customer's orders follow their times; the as-of date is a system's last order date,
-- so no order lies after it; a time zone's offset changes on a full hour only.
-- One text for DuckDB and Postgres: duckdb.sql and postgres.sql define the few functions that differ.
-- Statements run in order, in one session; a line "-- mart: x" names the public table that the statements
-- after it are for, "-- shared: x" what several of them read.

-- shared: time zones
-- Converting a time zone row by row is dear: once an hour of trade and zone is enough.
create temp table hour_offsets as
select
    utc_hour,
    zone,
    ((utc_hour at time zone 'UTC') at time zone zone) - utc_hour as utc_offset
from (
    select date_trunc('hour', created_at) as utc_hour, _business_timezone as zone from raw.store_orders
    union
    select date_trunc('hour', creation_time_utc), _business_timezone from raw.restaurant_order_items
    union
    select date_trunc('hour', coalesce(paid_at, created_at)), _business_timezone from raw.store_payments
) as hours;

-- shared: exchange rates
create temp table rate_periods as
select
    currency,
    cast(rate as numeric(18, 8)) as exchange_rate,
    rate_date as first_date,
    lead(rate_date, 1, date '9999-12-31') over (partition by currency order by rate_date) as next_date
from seeds.fx_rates
where currency <> 'USD';

-- shared: restaurant lines
create temp table repeated_restaurant_lines as
select order_id, lineitem_id
from raw.restaurant_order_items
group by order_id, lineitem_id
having count(*) > 1;

create temp view restaurant_lines as
with newest as (
    select
        lines.*,
        row_number() over (
            partition by lines.order_id, lines.lineitem_id
            order by
                lines._load_sequence desc, lines._feed collate "C" desc, lines._batch_id collate "C" desc,
                lines._row_number desc
        ) as version
    from raw.restaurant_order_items as lines
    inner join repeated_restaurant_lines as repeated
        on lines.order_id = repeated.order_id and lines.lineitem_id = repeated.lineitem_id
)
select
    order_id, lineitem_id, restaurant_id, user_id, app_name, currency, item_category, item_name, item_price_basis,
    item_quantity, item_price, is_loyalty, creation_time_utc, _business_timezone
from raw.restaurant_order_items as lines
where not exists (
    select 1 from repeated_restaurant_lines as repeated
    where lines.order_id = repeated.order_id and lines.lineitem_id = repeated.lineitem_id
)
union all
select
    order_id, lineitem_id, restaurant_id, user_id, app_name, currency, item_category, item_name, item_price_basis,
    item_quantity, item_price, is_loyalty, creation_time_utc, _business_timezone
from newest
where version = 1;

create temp table restaurant_heads as
select
    order_id,
    min(user_id) as customer_id,
    min(restaurant_id) as location_id,
    min(app_name) as sales_channel,
    min(currency) as currency,
    coalesce(bool_or(is_loyalty), false) as is_loyalty,
    min(creation_time_utc) as ordered_at,
    min(_business_timezone) as zone,
    not (
        min(restaurant_id) = max(restaurant_id)
        and min(currency) = max(currency)
        and min(creation_time_utc) = max(creation_time_utc)
        and (count(user_id) = 0 or (count(user_id) = count(*) and min(user_id) = max(user_id)))
        and (count(app_name) = 0 or (count(app_name) = count(*) and min(app_name) = max(app_name)))
        and coalesce(bool_or(is_loyalty), false) = bool_and(coalesce(is_loyalty, false))
    ) as has_conflicting_lines,
    min(_business_timezone) <> max(_business_timezone) as has_two_zones
from restaurant_lines
group by order_id;

-- The first line gives the head where the lines disagree.
create temp table disagreeing_heads as
select order_id, customer_id, location_id, sales_channel, currency, ordered_at, zone, is_loyalty, has_conflicting_lines
from (
    select
        lines.order_id,
        lines.user_id as customer_id,
        lines.restaurant_id as location_id,
        lines.app_name as sales_channel,
        lines.currency,
        lines.creation_time_utc as ordered_at,
        lines._business_timezone as zone,
        heads.is_loyalty,
        heads.has_conflicting_lines,
        row_number() over (
            partition by lines.order_id
            order by lines.creation_time_utc, lines.lineitem_id collate "C"
        ) as line_rank
    from restaurant_lines as lines
    inner join restaurant_heads as heads
        on lines.order_id = heads.order_id
    where heads.has_conflicting_lines is not false or heads.has_two_zones
) as ranked
where line_rank = 1;

-- shared: orders
create temp table repeated_store_orders as
select id from raw.store_orders group by id having count(*) > 1;

create temp table places as
select
    source_system,
    location_id,
    md5(source_system || chr(31) || coalesce(location_id, chr(30))) as location_key
from (
    select distinct 'store' as source_system, location_id from raw.store_orders
    union all
    select distinct 'restaurant' as source_system, restaurant_id from raw.restaurant_order_items
) as named;

create temp table placed as
with newest_store_orders as (
    select
        orders.*,
        row_number() over (
            partition by orders.id
            order by
                case when orders.updated_at is null then 1 else 0 end, orders.updated_at desc,
                orders._load_sequence desc, orders._feed collate "C" desc, orders._batch_id collate "C" desc,
                orders._row_number desc
        ) as version
    from raw.store_orders as orders
    inner join repeated_store_orders as repeated
        on orders.id = repeated.id
),
store_orders as (
    select
        id, customer_id, location_id, currency, status, total_amount, discount_amount, tax_amount, shipping_amount,
        tip_amount, is_loyalty, created_at, _business_timezone
    from raw.store_orders as orders
    where not exists (select 1 from repeated_store_orders as repeated where orders.id = repeated.id)
    union all
    select
        id, customer_id, location_id, currency, status, total_amount, discount_amount, tax_amount, shipping_amount,
        tip_amount, is_loyalty, created_at, _business_timezone
    from newest_store_orders
    where version = 1
),
restaurant_orders as (
    select
        order_id, customer_id, location_id, sales_channel, currency, ordered_at, zone, is_loyalty,
        has_conflicting_lines
    from restaurant_heads
    where has_conflicting_lines is false and not has_two_zones
    union all
    select
        order_id, customer_id, location_id, sales_channel, currency, ordered_at, zone, is_loyalty,
        has_conflicting_lines
    from disagreeing_heads
),
united as (
    select
        'store' as source_system, id as order_id, customer_id, location_id, 'online' as sales_channel, currency,
        status, total_amount, coalesce(discount_amount, 0) as order_discount, coalesce(tax_amount, 0) as tax,
        coalesce(shipping_amount, 0) as shipping, coalesce(tip_amount, 0) as tip,
        status in ('paid', 'fulfilled', 'delivered', 'returned') as is_booked,
        coalesce(is_loyalty, false) as is_loyalty, false as has_conflicting_lines, created_at as ordered_at,
        _business_timezone as zone
    from store_orders
    union all
    select
        'restaurant' as source_system, order_id, customer_id, location_id, sales_channel, currency,
        'completed' as status, null as total_amount, 0 as order_discount, 0 as tax, 0 as shipping, 0 as tip,
        true as is_booked, is_loyalty, has_conflicting_lines, ordered_at, zone
    from restaurant_orders
),
localised as (
    select united.*, united.ordered_at + hour_offsets.utc_offset as ordered_at_local
    from united
    inner join hour_offsets
        on date_trunc('hour', united.ordered_at) = hour_offsets.utc_hour and united.zone = hour_offsets.zone
)
select
    md5(localised.source_system || chr(31) || localised.order_id) as order_key,
    case
        when localised.customer_id is not null then md5(localised.source_system || chr(31) || localised.customer_id)
    end as customer_key,
    coalesce(places.location_key, md5(localised.source_system || chr(31) || chr(30))) as location_key,
    localised.source_system,
    localised.order_id,
    localised.customer_id,
    localised.location_id,
    localised.sales_channel,
    localised.currency,
    localised.status,
    case
        when extract(hour from localised.ordered_at_local) <= 4 then 'overnight'
        when extract(hour from localised.ordered_at_local) <= 10 then 'breakfast'
        when extract(hour from localised.ordered_at_local) <= 14 then 'lunch'
        when extract(hour from localised.ordered_at_local) <= 16 then 'afternoon'
        when extract(hour from localised.ordered_at_local) <= 20 then 'dinner'
        else 'late_night'
    end as day_part,
    case when localised.currency = 'USD' then cast(1 as numeric(18, 8)) else rates.exchange_rate end
        as exchange_rate,
    localised.total_amount,
    localised.order_discount,
    localised.tax,
    localised.shipping,
    localised.tip,
    coalesce(localised.is_booked, false) as is_booked,
    localised.is_loyalty,
    localised.has_conflicting_lines,
    localised.ordered_at,
    localised.ordered_at_local,
    cast(localised.ordered_at_local as date) as order_date
from localised
left join places
    on localised.source_system = places.source_system and localised.location_id = places.location_id
left join rate_periods as rates
    on
        localised.currency = rates.currency
        and cast(localised.ordered_at_local as date) >= rates.first_date
        and cast(localised.ordered_at_local as date) < rates.next_date;

create temp table as_of as
select source_system, max(order_date) as as_of_date
from placed
group by source_system;

-- shared: catalogue
create temp table product_states as
with states as (
    select
        product_id, name, category, price, unit_cost, effective_at, _business_timezone,
        row_number() over (
            partition by product_id, effective_at
            order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
        ) as version
    from raw.store_products
),
neighbours as (
    select
        states.*,
        lag(row(name, category, price, unit_cost)) over (partition by product_id order by effective_at) as former,
        row(name, category, price, unit_cost) as present
    from states
    where version = 1
),
versions as (
    select
        product_id, name, category, price, unit_cost, effective_at as valid_from,
        cast((effective_at at time zone 'UTC') at time zone _business_timezone as date) as valid_from_date,
        lead(effective_at) over (partition by product_id order by effective_at) as valid_to
    from neighbours
    where former is distinct from present
)
select
    md5('store' || chr(31) || product_id || chr(31) || cast(valid_from as text)) as product_version_key,
    md5('store' || chr(31) || product_id) as product_key,
    versions.*
from versions;

create temp table item_names as
select
    item_name,
    product_id,
    md5('restaurant' || chr(31) || product_id) as product_key,
    md5('restaurant' || chr(31) || product_id || chr(31) || 'only version') as product_version_key
from (
    select distinct item_name, trim(both ' ' from composed_text(item_name)) as product_id
    from raw.restaurant_order_items
) as names;

-- mart: fct_order_items
create temp table repeated_store_lines as
select order_id, line_id
from raw.store_order_items
group by order_id, line_id
having count(*) > 1;

create temp view store_lines as
with newest as (
    select
        lines.*,
        row_number() over (
            partition by lines.order_id, lines.line_id
            order by
                lines._load_sequence desc, lines._feed collate "C" desc, lines._batch_id collate "C" desc,
                lines._row_number desc
        ) as version
    from raw.store_order_items as lines
    inner join repeated_store_lines as repeated
        on lines.order_id = repeated.order_id and lines.line_id = repeated.line_id
)
select
    order_id, line_id, product_id, quantity, unit_price, coalesce(discount_amount, 0) as own_discount,
    cast(round(quantity * unit_price, 4) as numeric(18, 4)) as item
from raw.store_order_items as lines
where not exists (
    select 1 from repeated_store_lines as repeated
    where lines.order_id = repeated.order_id and lines.line_id = repeated.line_id
)
union all
select
    order_id, line_id, product_id, quantity, unit_price, coalesce(discount_amount, 0) as own_discount,
    cast(round(quantity * unit_price, 4) as numeric(18, 4)) as item
from newest
where version = 1;

-- An order's discount over its lines: largest remainder in units of 0.0001, ties to the smaller line id.
create temp table discount_shares as
with weighed as (
    select
        lines.order_id,
        lines.line_id,
        placed.order_discount < 0 as is_negative,
        cast(abs(placed.order_discount) * 10000 as numeric(19, 0)) as discount_units,
        cast((lines.item - lines.own_discount) * 10000 as numeric(18, 0)) as weight
    from store_lines as lines
    inner join placed
        on lines.order_id = placed.order_id
    where placed.source_system = 'store' and placed.order_discount <> 0
),
totalled as (
    select
        *,
        sum(weight) over (partition by order_id) as total_weight
    from weighed
),
divided as (
    select
        order_id, line_id, is_negative, discount_units,
        cast(whole_units_quotient(discount_units * weight, total_weight) as numeric(38, 0)) as whole_units,
        mod(
            cast(discount_units * weight as numeric(38, 0)), cast(total_weight as numeric(38, 0))
        ) as remainder
    from totalled
    where total_weight > 0
),
ranked as (
    select
        order_id, line_id, is_negative, whole_units,
        discount_units - sum(whole_units) over (partition by order_id) as leftover_units,
        row_number() over (partition by order_id order by remainder desc, line_id collate "C") as remainder_rank
    from divided
)
select
    order_id,
    line_id,
    cast(
        case when is_negative then -1 else 1 end
        * cast(whole_units + case when remainder_rank <= leftover_units then 1 else 0 end as numeric(19, 0)) * 0.0001
        as numeric(18, 4)
    ) as share
from ranked;

create temp table option_totals as
with newest_options as (
    select *
    from (
        select
            order_id, lineitem_id, option_price, option_quantity, option_price_basis, options_mode,
            dense_rank() over (
                partition by order_id, lineitem_id, options_mode
                order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc
            ) as delivery_rank
        from raw.restaurant_order_item_options as options
        where exists (
            select 1
            from (
                select order_id, lineitem_id
                from raw.restaurant_order_item_options
                group by order_id, lineitem_id
                having min(_batch_id) <> max(_batch_id) or min(options_mode) <> max(options_mode)
            ) as repeated
            where options.order_id = repeated.order_id and options.lineitem_id = repeated.lineitem_id
        )
    ) as ranked
    where options_mode = 'append' or delivery_rank = 1
),
options as (
    select
        order_id, lineitem_id,
        min(_batch_id) <> max(_batch_id) or min(options_mode) <> max(options_mode) as is_repeated,
        sum(
            case
                when option_price > 0
                    then case when option_price_basis = 'line_total' then option_price
                    else option_price * option_quantity end
            end
        ) as positive,
        sum(
            case
                when option_price < 0
                    then case when option_price_basis = 'line_total' then -option_price
                    else -option_price * option_quantity end
            end
        ) as negative
    from raw.restaurant_order_item_options
    group by order_id, lineitem_id
)
select
    order_id, lineitem_id,
    cast(round(coalesce(positive, 0), 4) as numeric(18, 4)) as option_amount,
    cast(round(coalesce(negative, 0), 4) as numeric(18, 4)) as discount_amount
from options
where not is_repeated
union all
select
    order_id, lineitem_id,
    cast(round(coalesce(sum(
        case
            when option_price > 0
                then case when option_price_basis = 'line_total' then option_price
                else option_price * option_quantity end
        end
    ), 0), 4) as numeric(18, 4)) as option_amount,
    cast(round(coalesce(sum(
        case
            when option_price < 0
                then case when option_price_basis = 'line_total' then -option_price
                else -option_price * option_quantity end
        end
    ), 0), 4) as numeric(18, 4)) as discount_amount
from newest_options
group by order_id, lineitem_id;

create table fct_order_items as
with store_side as (
    select
        placed.order_key, versions.product_key, versions.product_version_key, placed.customer_key,
        placed.location_key, 'store' as source_system, lines.order_id, lines.line_id, lines.product_id,
        versions.category, placed.day_part, placed.currency, placed.exchange_rate, lines.quantity, lines.unit_price,
        lines.item, lines.item as gross, cast(lines.own_discount + coalesce(shares.share, 0) as numeric(18, 4))
            as discount,
        cast(round(lines.quantity * versions.price, 4) as numeric(18, 4)) as list_price_amount,
        cast(round(lines.quantity * versions.unit_cost, 4) as numeric(18, 4)) as cost_amount,
        placed.is_booked, placed.ordered_at, placed.ordered_at_local, placed.order_date
    from store_lines as lines
    left join placed
        on placed.source_system = 'store' and lines.order_id = placed.order_id
    left join discount_shares as shares
        on lines.order_id = shares.order_id and lines.line_id = shares.line_id
    left join product_states as versions
        on
            lines.product_id = versions.product_id
            and placed.ordered_at >= versions.valid_from
            and (versions.valid_to is null or placed.ordered_at < versions.valid_to)
),
restaurant_priced as (
    select
        lines.order_id, lines.lineitem_id as line_id, names.product_id, names.product_key,
        names.product_version_key, lines.item_category as category, lines.currency,
        lines.item_quantity as quantity,
        case when lines.item_price_basis <> 'line_total' or lines.item_quantity = 1 then lines.item_price end
            as unit_price,
        case
            when lines.item_price_basis = 'line_total' then lines.item_price
            else cast(round(lines.item_quantity * lines.item_price, 4) as numeric(18, 4))
        end as item,
        coalesce(options.option_amount, 0) as option_amount,
        coalesce(options.discount_amount, 0) as discount
    from restaurant_lines as lines
    inner join item_names as names
        on lines.item_name = names.item_name
    left join option_totals as options
        on lines.order_id = options.order_id and lines.lineitem_id = options.lineitem_id
),
restaurant_side as (
    select
        placed.order_key, priced.product_key, priced.product_version_key, placed.customer_key, placed.location_key,
        'restaurant' as source_system, priced.order_id, priced.line_id, priced.product_id, priced.category,
        placed.day_part, priced.currency,
        case
            when priced.currency = placed.currency then placed.exchange_rate
            when priced.currency = 'USD' then cast(1 as numeric(18, 8))
            else rates.exchange_rate
        end as exchange_rate,
        priced.quantity, priced.unit_price, priced.item,
        cast(priced.item + priced.option_amount as numeric(18, 4)) as gross,
        priced.discount,
        cast(null as numeric(18, 4)) as list_price_amount, cast(null as numeric(18, 4)) as cost_amount,
        placed.is_booked, placed.ordered_at, placed.ordered_at_local, placed.order_date
    from restaurant_priced as priced
    inner join placed
        on placed.source_system = 'restaurant' and priced.order_id = placed.order_id
    left join rate_periods as rates
        on
            priced.currency = rates.currency
            and placed.order_date >= rates.first_date
            and placed.order_date < rates.next_date
),
united as (
    select * from store_side
    union all
    select * from restaurant_side
),
converted as (
    select
        *,
        case when exchange_rate = 1 then unit_price
        else cast(round(cast(unit_price as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end
            as unit_price_converted,
        case when exchange_rate = 1 then item
        else cast(round(cast(item as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end as item_amount,
        case when exchange_rate = 1 then gross
        else cast(round(cast(gross as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end as gross_amount,
        case when exchange_rate = 1 then discount
        else cast(round(cast(discount as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end
            as discount_amount
    from united
)
select
    md5(source_system || chr(31) || order_id || chr(31) || line_id) as order_item_key,
    coalesce(order_key, md5(source_system || chr(31) || order_id)) as order_key,
    coalesce(product_key, md5(source_system || chr(31) || coalesce(product_id, chr(30)))) as product_key,
    product_version_key,
    customer_key,
    location_key,
    source_system,
    order_id,
    line_id,
    product_id,
    coalesce(category, 'unknown') as category,
    day_part,
    currency,
    exchange_rate,
    quantity,
    unit_price_converted as unit_price,
    item_amount,
    cast(gross_amount - item_amount as numeric(18, 4)) as option_amount,
    gross_amount,
    discount_amount,
    cast(gross_amount - discount_amount as numeric(18, 4)) as net_sales_amount,
    list_price_amount,
    cast(list_price_amount - item_amount as numeric(18, 4)) as markdown_amount,
    cost_amount,
    cast(gross - discount as numeric(18, 4)) as transaction_net_sales_amount,
    coalesce(is_booked, false) as is_booked,
    order_key is null as has_missing_header,
    list_price_amount is null as is_list_price_missing,
    ordered_at,
    ordered_at_local,
    order_date
from converted;

-- mart: fct_returns
create table fct_returns as
with versions as (
    select
        *,
        row_number() over (
            partition by id
            order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
        ) as version
    from raw.store_returns
),
returned as (
    select
        *,
        cast((returned_at at time zone 'UTC') at time zone _business_timezone as date) as return_date
    from versions
    where version = 1
),
matched as (
    select
        returned.*, lines.order_item_key, lines.product_key, lines.category, lines.net_sales_amount,
        lines.cost_amount is not null as has_cost, placed.order_key, placed.customer_key, placed.location_key,
        placed.currency, placed.exchange_rate, placed.order_date,
        case when placed.exchange_rate = 1 then returned.refund_amount
        else cast(round(cast(returned.refund_amount as numeric(19, 4)) * placed.exchange_rate, 4) as numeric(18, 4))
        end as refund,
        coalesce(
            lines.order_item_key is not null and placed.is_booked and returned.return_date - placed.order_date <= 30,
            false
        ) as is_refund_eligible
    from returned
    left join fct_order_items as lines
        on
            lines.source_system = 'store'
            and returned.order_id = lines.order_id
            and returned.line_id = lines.line_id
    left join placed
        on placed.source_system = 'store' and returned.order_id = placed.order_id
),
accumulated as (
    select
        *,
        coalesce(sum(case when is_refund_eligible then refund else 0 end) over (
            partition by order_id, line_id
            order by returned_at, id collate "C"
            rows between unbounded preceding and 1 preceding
        ), 0) as refunded_before
    from matched
),
capped as (
    select
        *,
        case
            when is_refund_eligible then greatest(least(refund, net_sales_amount - refunded_before), 0)
            else 0
        end as eligible
    from accumulated
)
select
    md5('store' || chr(31) || id) as return_key,
    coalesce(order_key, md5('store' || chr(31) || coalesce(order_id, chr(30)))) as order_key,
    coalesce(
        order_item_key,
        md5('store' || chr(31) || coalesce(order_id, chr(30)) || chr(31) || coalesce(line_id, chr(30)))
    ) as order_item_key,
    product_key,
    customer_key,
    location_key,
    'store' as source_system,
    id as return_id,
    order_id,
    line_id,
    category,
    reason,
    currency,
    exchange_rate,
    quantity,
    refund as refund_amount,
    cast(eligible as numeric(18, 4)) as eligible_refund_amount,
    cast(case when is_refund_eligible then refund - eligible else 0 end as numeric(18, 4)) as excess_refund_amount,
    refund_amount as transaction_refund_amount,
    is_refund_eligible,
    is_refund_eligible and eligible < refund as is_refund_capped,
    order_item_key is null or order_key is null as has_missing_order,
    has_cost,
    returned_at,
    return_date,
    order_date
from capped;

-- mart: fct_orders
create temp table order_totals as
select
    order_key,
    count(*) as lines,
    count(cost_amount) as lines_with_cost,
    coalesce(sum(quantity), 0) as units,
    coalesce(sum(gross_amount), 0) as gross_amount,
    coalesce(sum(discount_amount), 0) as discount_amount,
    coalesce(sum(net_sales_amount), 0) as net_sales_amount,
    coalesce(sum(cost_amount), 0) as cost_amount,
    coalesce(sum(case when cost_amount is not null then net_sales_amount end), 0) as net_sales_with_cost_amount,
    coalesce(sum(transaction_net_sales_amount), 0) as transaction_net_sales_amount,
    min(currency) as smallest_currency,
    max(currency) as largest_currency
from fct_order_items
where not has_missing_header
group by order_key;

-- A customer's booked orders in sequence, and the order date before each: what a day, week or month of a customer
-- begins with is then a comparison of two dates.
create temp table sequenced as
select
    source_system,
    order_key,
    customer_key,
    is_loyalty,
    order_date,
    row_number() over customers as order_sequence,
    first_value(order_date) over customers as first_date,
    lag(order_date) over customers as former_date
from placed
where is_booked and customer_id is not null
window customers as (partition by source_system, customer_id order by ordered_at, order_id collate "C");

create table fct_orders as
with returned as (
    select
        order_key,
        count(*) as returns,
        coalesce(sum(quantity), 0) as returned_units,
        coalesce(sum(eligible_refund_amount), 0) as refund_amount
    from fct_returns
    group by order_key
),
combined as (
    select
        placed.*,
        coalesce(totals.lines, 0) as lines,
        coalesce(totals.lines_with_cost, 0) as lines_with_cost,
        coalesce(totals.units, 0) as units,
        coalesce(totals.gross_amount, 0) as gross_amount,
        coalesce(totals.discount_amount, 0) as discount_amount,
        coalesce(totals.net_sales_amount, 0) as net_sales_amount,
        coalesce(totals.cost_amount, 0) as cost_amount,
        coalesce(totals.net_sales_with_cost_amount, 0) as net_sales_with_cost_amount,
        case
            when totals.order_key is null then 0
            when totals.smallest_currency = placed.currency and totals.largest_currency = placed.currency
                then totals.transaction_net_sales_amount
        end as transaction_net,
        coalesce(returned.returns, 0) as returns,
        coalesce(returned.returned_units, 0) as returned_units,
        coalesce(returned.refund_amount, 0) as refund_amount,
        sequenced.order_sequence,
        sequenced.first_date
    from placed
    left join order_totals as totals
        on placed.order_key = totals.order_key
    left join returned
        on placed.order_key = returned.order_key
    left join sequenced
        on placed.order_key = sequenced.order_key
),
totalled as (
    select
        *,
        case
            when source_system = 'restaurant' then transaction_net
            else coalesce(total_amount, transaction_net + tax + shipping + tip)
        end as transaction_total
    from combined
)
select
    order_key,
    customer_key,
    location_key,
    source_system,
    order_id,
    customer_id,
    location_id,
    sales_channel,
    status,
    day_part,
    currency,
    exchange_rate,
    order_sequence,
    lines,
    lines_with_cost,
    cast(units as numeric(38, 4)) as units,
    cast(gross_amount as numeric(38, 4)) as gross_amount,
    cast(discount_amount as numeric(38, 4)) as discount_amount,
    cast(net_sales_amount as numeric(38, 4)) as net_sales_amount,
    cast(refund_amount as numeric(38, 4)) as refund_amount,
    cast(net_sales_amount - refund_amount as numeric(38, 4)) as net_sales_after_refunds_amount,
    cast(cost_amount as numeric(38, 4)) as cost_amount,
    cast(net_sales_with_cost_amount as numeric(38, 4)) as net_sales_with_cost_amount,
    cast(
        case
            when source_system = 'restaurant' then net_sales_amount
            when exchange_rate = 1 then transaction_total
            else round(cast(transaction_total as numeric(19, 4)) * exchange_rate, 4)
        end as numeric(38, 4)
    ) as header_total_amount,
    case when exchange_rate = 1 then cast(order_discount as numeric(18, 4))
    else cast(round(cast(order_discount as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end
        as order_discount_amount,
    case when exchange_rate = 1 then cast(tax as numeric(18, 4))
    else cast(round(cast(tax as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end as tax_amount,
    case when exchange_rate = 1 then cast(shipping as numeric(18, 4))
    else cast(round(cast(shipping as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end as shipping_amount,
    case when exchange_rate = 1 then cast(tip as numeric(18, 4))
    else cast(round(cast(tip as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end as tip_amount,
    returns,
    cast(returned_units as numeric(38, 4)) as returned_units,
    cast(transaction_net as numeric(38, 4)) as transaction_net_sales_amount,
    cast(transaction_total as numeric(38, 4)) as transaction_header_total_amount,
    cast(
        case when source_system = 'store' then transaction_total - transaction_net - tax - shipping - tip else 0 end
        as numeric(38, 4)
    ) as header_difference_amount,
    is_booked,
    is_loyalty,
    coalesce(order_sequence = 1, false) as is_first_order,
    discount_amount > 0 as is_discounted,
    returns > 0 as has_return,
    has_conflicting_lines,
    ordered_at,
    ordered_at_local,
    order_date,
    first_date as customer_first_order_date
from totalled;

-- mart: fct_payments
create table fct_payments as
with repeated as (
    select id from raw.store_payments group by id having count(*) > 1
),
newest as (
    select
        payments.*,
        row_number() over (
            partition by payments.id
            order by
                payments._load_sequence desc, payments._feed collate "C" desc, payments._batch_id collate "C" desc,
                payments._row_number desc
        ) as version
    from raw.store_payments as payments
    inner join repeated
        on payments.id = repeated.id
),
payments as (
    select id, order_id, status, method, amount, created_at, paid_at, _business_timezone
    from raw.store_payments as payments
    where not exists (select 1 from repeated where payments.id = repeated.id)
    union all
    select id, order_id, status, method, amount, created_at, paid_at, _business_timezone
    from newest
    where version = 1
),
shop as (
    select case when min(currency) = max(currency) then min(currency) end as currency
    from placed
    where source_system = 'store'
),
matched as (
    select
        payments.*,
        placed.order_key,
        placed.customer_key,
        placed.location_key,
        coalesce(placed.currency, shop.currency) as currency,
        placed.exchange_rate as order_rate,
        placed.ordered_at,
        placed.order_date,
        coalesce(
            cast(coalesce(payments.paid_at, payments.created_at) + hour_offsets.utc_offset as date), placed.order_date
        ) as payment_date,
        payments.status = 'succeeded' or (payments.status = 'refunded' and payments.paid_at is not null)
            as is_succeeded
    from payments
    left join placed
        on placed.source_system = 'store' and payments.order_id = placed.order_id
    left join hour_offsets
        on
            date_trunc('hour', coalesce(payments.paid_at, payments.created_at)) = hour_offsets.utc_hour
            and payments._business_timezone = hour_offsets.zone
    cross join shop
),
rated as (
    select
        matched.*,
        case
            when matched.order_key is not null then matched.order_rate
            when matched.currency = 'USD' then cast(1 as numeric(18, 8))
            else rates.exchange_rate
        end as exchange_rate
    from matched
    left join rate_periods as rates
        on
            matched.order_key is null
            and matched.currency = rates.currency
            and matched.payment_date >= rates.first_date
            and matched.payment_date < rates.next_date
)
select
    md5('store' || chr(31) || id) as payment_key,
    coalesce(order_key, md5('store' || chr(31) || coalesce(order_id, chr(30)))) as order_key,
    customer_key,
    location_key,
    'store' as source_system,
    id as payment_id,
    order_id,
    status,
    method,
    currency,
    exchange_rate,
    case when exchange_rate = 1 then amount
    else cast(round(cast(amount as numeric(19, 4)) * exchange_rate, 4) as numeric(18, 4)) end as amount,
    amount as transaction_amount,
    case
        when is_succeeded
            then
                cast(micros_between(ordered_at, paid_at) as double precision) / cast(3600000000 as double precision)
    end as processing_hours,
    is_succeeded,
    order_key is null as has_missing_order,
    created_at,
    paid_at,
    payment_date,
    order_date
from rated;

-- mart: mart_payments_daily
create table mart_payments_daily as
with summarised as (
    select
        source_system,
        coalesce(method, 'unknown') as method,
        payment_date,
        count(*) as payments,
        count(case when is_succeeded then 1 end) as succeeded,
        count(case when status = 'failed' then 1 end) as failed,
        count(case when status = 'pending' then 1 end) as pending,
        count(case when status = 'refunded' then 1 end) as refunded,
        coalesce(sum(case when is_succeeded then amount end), 0) as payment_amount,
        -- Exact: a double holds the microseconds of a century.
        sum(cast(round(processing_hours * 3600000000) as bigint)) as micros,
        count(processing_hours) as timed
    from fct_payments
    group by source_system, coalesce(method, 'unknown'), payment_date
)
select
    md5(source_system || chr(31) || coalesce(cast(payment_date as text), chr(30)) || chr(31) || method)
        as payment_day_key,
    source_system,
    method,
    payments,
    succeeded,
    failed,
    pending,
    refunded,
    cast(payment_amount as numeric(38, 4)) as payment_amount,
    cast(succeeded as double precision) / nullif(cast(succeeded + failed as double precision), 0)
        as payment_success_rate,
    cast(micros as double precision) / nullif(cast(timed * 3600000000 as double precision), 0)
        as average_processing_hours,
    payment_date
from summarised;

-- mart: mart_payment_reconciliation
create table mart_payment_reconciliation as
with paid as (
    select
        order_key,
        order_id,
        count(*) as payments,
        count(case when is_succeeded then 1 end) as succeeded_payments,
        coalesce(sum(case when is_succeeded then amount end), 0) as paid_amount
    from fct_payments
    group by order_key, order_id
),
expected as (
    select
        order_key, order_id, status, order_date,
        case when is_booked then header_total_amount else 0 end as expected_amount
    from fct_orders
    where source_system = 'store'
),
compared as (
    select
        coalesce(expected.order_key, paid.order_key) as order_key,
        coalesce(expected.order_id, paid.order_id) as order_id,
        expected.status as order_status,
        expected.expected_amount,
        coalesce(paid.paid_amount, 0) as paid_amount,
        coalesce(paid.payments, 0) as payments,
        coalesce(paid.succeeded_payments, 0) as succeeded_payments,
        expected.order_key is not null as has_order,
        expected.order_date
    from expected
    full outer join paid
        on expected.order_key = paid.order_key
)
select
    order_key,
    order_id,
    'store' as source_system,
    order_status,
    case
        when not has_order then 'payment_without_order'
        when paid_amount = expected_amount then 'matched'
        when paid_amount > expected_amount then 'overpaid'
        when paid_amount = 0 then 'unpaid'
        else 'underpaid'
    end as classification,
    payments,
    succeeded_payments,
    cast(case when has_order then expected_amount else 0 end as numeric(38, 4)) as expected_amount,
    cast(paid_amount as numeric(38, 4)) as paid_amount,
    cast(paid_amount - case when has_order then expected_amount else 0 end as numeric(38, 4)) as difference,
    order_date
from compared;

-- mart: fct_sales_daily
create table fct_sales_daily as
with sales as (
    select
        source_system,
        location_key,
        category,
        day_part,
        order_date as sales_date,
        count(distinct order_key) as orders,
        coalesce(sum(quantity), 0) as units,
        coalesce(sum(gross_amount), 0) as gross_revenue,
        coalesce(sum(discount_amount), 0) as discounts,
        coalesce(sum(net_sales_amount), 0) as net_sales
    from fct_order_items
    where is_booked
    group by source_system, location_key, category, day_part, order_date
)
select
    md5(
        source_system || chr(31) || location_key || chr(31) || category || chr(31) || day_part || chr(31)
        || cast(sales_date as text)
    ) as sales_day_key,
    location_key,
    source_system,
    category,
    day_part,
    orders,
    cast(units as numeric(38, 4)) as units,
    cast(gross_revenue as numeric(38, 4)) as gross_revenue,
    cast(discounts as numeric(38, 4)) as discounts,
    cast(net_sales as numeric(38, 4)) as net_sales,
    sales_date
from sales;

-- mart: mart_sales_weekly
create table mart_sales_weekly as
select
    md5(
        source_system || chr(31) || location_key || chr(31) || category || chr(31) || day_part || chr(31)
        || cast(cast(date_trunc('week', sales_date) as date) as text)
    ) as sales_week_key,
    location_key,
    source_system,
    category,
    day_part,
    cast(sum(orders) as bigint) as orders,
    cast(sum(units) as numeric(38, 4)) as units,
    cast(sum(gross_revenue) as numeric(38, 4)) as gross_revenue,
    cast(sum(discounts) as numeric(38, 4)) as discounts,
    cast(sum(net_sales) as numeric(38, 4)) as net_sales,
    cast(date_trunc('week', sales_date) as date) as week_start
from fct_sales_daily
group by source_system, location_key, category, day_part, cast(date_trunc('week', sales_date) as date);

-- mart: mart_sales_monthly
create table mart_sales_monthly as
select
    md5(
        source_system || chr(31) || location_key || chr(31) || category || chr(31) || day_part || chr(31)
        || cast(cast(date_trunc('month', sales_date) as date) as text)
    ) as sales_month_key,
    location_key,
    source_system,
    category,
    day_part,
    cast(sum(orders) as bigint) as orders,
    cast(sum(units) as numeric(38, 4)) as units,
    cast(sum(gross_revenue) as numeric(38, 4)) as gross_revenue,
    cast(sum(discounts) as numeric(38, 4)) as discounts,
    cast(sum(net_sales) as numeric(38, 4)) as net_sales,
    cast(date_trunc('month', sales_date) as date) as month_start
from fct_sales_daily
group by source_system, location_key, category, day_part, cast(date_trunc('month', sales_date) as date);

-- mart: fct_revenue_daily
-- Customers of a day are either new on it or were there before: one grouping by customer counts both.
create table fct_revenue_daily as
with customer_days as (
    select
        source_system,
        location_key,
        order_date,
        case when is_booked then customer_key end as customer,
        min(customer_first_order_date) as first_date,
        sum(header_total_amount) as total_order_amount,
        count(*) as orders_placed,
        count(case when is_booked then 1 end) as orders,
        count(case when is_booked and has_return then 1 end) as returned_orders,
        sum(case when is_booked then units end) as units,
        sum(case when is_booked then returned_units end) as returned_units,
        sum(case when is_booked then lines end) as lines,
        sum(case when is_booked then lines_with_cost end) as lines_with_cost,
        sum(case when is_booked then gross_amount end) as gross_revenue,
        sum(case when is_booked then discount_amount end) as discounts,
        sum(case when is_booked then cost_amount end) as cost,
        sum(case when is_booked then net_sales_with_cost_amount end) as net_sales_with_cost
    from fct_orders
    group by source_system, location_key, order_date, case when is_booked then customer_key end
),
ordered as (
    select
        source_system,
        location_key,
        order_date as revenue_date,
        sum(total_order_amount) as total_order_amount,
        sum(orders_placed) as orders_placed,
        sum(orders) as orders,
        sum(returned_orders) as returned_orders,
        sum(units) as units,
        sum(returned_units) as returned_units,
        sum(lines) as lines,
        sum(lines_with_cost) as lines_with_cost,
        sum(gross_revenue) as gross_revenue,
        sum(discounts) as discounts,
        sum(cost) as cost,
        sum(net_sales_with_cost) as net_sales_with_cost,
        count(customer) as customers,
        count(case when customer is not null and first_date = order_date then 1 end) as new_customers,
        count(case when customer is not null and first_date < order_date then 1 end) as repeat_customers
    from customer_days
    group by source_system, location_key, order_date
),
refunded as (
    select
        source_system,
        location_key,
        return_date as revenue_date,
        sum(eligible_refund_amount) as refunds,
        sum(case when has_cost then eligible_refund_amount end) as refunds_with_cost
    from fct_returns
    where eligible_refund_amount <> 0
    group by source_system, location_key, return_date
),
combined as (
    select
        coalesce(ordered.source_system, refunded.source_system) as source_system,
        coalesce(ordered.location_key, refunded.location_key) as location_key,
        coalesce(ordered.revenue_date, refunded.revenue_date) as revenue_date,
        coalesce(total_order_amount, 0) as total_order_amount,
        coalesce(orders_placed, 0) as orders_placed,
        coalesce(orders, 0) as orders,
        coalesce(returned_orders, 0) as returned_orders,
        coalesce(units, 0) as units,
        coalesce(returned_units, 0) as returned_units,
        coalesce(lines, 0) as lines,
        coalesce(lines_with_cost, 0) as lines_with_cost,
        coalesce(gross_revenue, 0) as gross_revenue,
        coalesce(discounts, 0) as discounts,
        coalesce(cost, 0) as cost,
        coalesce(net_sales_with_cost, 0) as net_sales_with_cost,
        coalesce(refunds, 0) as refunds,
        coalesce(refunds_with_cost, 0) as refunds_with_cost,
        coalesce(customers, 0) as customers,
        coalesce(new_customers, 0) as new_customers,
        coalesce(repeat_customers, 0) as repeat_customers
    from ordered
    full outer join refunded
        on
            ordered.source_system = refunded.source_system
            and ordered.location_key = refunded.location_key
            and ordered.revenue_date = refunded.revenue_date
)
select
    md5(source_system || chr(31) || location_key || chr(31) || cast(revenue_date as text)) as revenue_day_key,
    location_key,
    source_system,
    cast(total_order_amount as numeric(38, 4)) as total_order_amount,
    cast(orders_placed as bigint) as orders_placed,
    cast(orders as bigint) as orders,
    cast(returned_orders as bigint) as returned_orders,
    cast(units as numeric(38, 4)) as units,
    cast(returned_units as numeric(38, 4)) as returned_units,
    cast(lines as bigint) as lines,
    cast(lines_with_cost as bigint) as lines_with_cost,
    cast(gross_revenue as numeric(38, 4)) as gross_revenue,
    cast(discounts as numeric(38, 4)) as discounts,
    cast(gross_revenue - discounts as numeric(38, 4)) as net_sales,
    cast(refunds as numeric(38, 4)) as refunds,
    cast(gross_revenue - discounts - refunds as numeric(38, 4)) as net_revenue,
    cast(cost as numeric(38, 4)) as cost,
    cast(net_sales_with_cost as numeric(38, 4)) as net_sales_with_cost,
    cast(refunds_with_cost as numeric(38, 4)) as refunds_with_cost,
    cast(customers as bigint) as customers,
    cast(new_customers as bigint) as new_customers,
    cast(repeat_customers as bigint) as repeat_customers,
    cast(gross_revenue - discounts as double precision) / nullif(cast(orders as double precision), 0)
        as average_order_value,
    revenue_date
from combined;

-- mart: fct_inventory_daily
create table fct_inventory_daily as
with versions as (
    select
        *,
        row_number() over (
            partition by snapshot_date, product_id
            order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
        ) as version
    from raw.store_inventory
),
counts as (
    select product_id, on_hand, allocated, reorder_point, snapshot_date
    from versions
    where version = 1
),
sales as (
    select product_id, order_date, sum(quantity) as units
    from fct_order_items
    where source_system = 'store' and is_booked
    group by product_id, order_date
),
movements as (
    select product_id, order_date as date_day, units as sold, units as moved from sales
    union all
    select product_id, order_date + 28, 0, -units from sales
    union all
    select product_id, snapshot_date, 0, 0 from counts
),
days as (
    select product_id, date_day, sum(sold) as sold, sum(moved) as moved
    from movements
    group by product_id, date_day
),
windows as (
    select
        product_id,
        date_day,
        sold,
        sum(moved) over (partition by product_id order by date_day rows unbounded preceding) as sold_in_window
    from days
)
select
    md5(
        'store' || chr(31) || counts.product_id || chr(31) || cast(counts.snapshot_date as text)
    ) as inventory_key,
    md5('store' || chr(31) || counts.product_id) as product_key,
    'store' as source_system,
    counts.product_id,
    counts.on_hand,
    counts.allocated,
    cast(counts.on_hand - counts.allocated as numeric(18, 4)) as available,
    counts.reorder_point,
    cast(windows.sold as numeric(38, 4)) as units_sold,
    cast(windows.sold_in_window as numeric(38, 4)) as units_sold_28_days,
    case
        when windows.sold_in_window = 0 then null
        when counts.on_hand - counts.allocated <= 0 then cast(0 as double precision)
        else
            cast((counts.on_hand - counts.allocated) * 28 as double precision)
            / cast(windows.sold_in_window as double precision)
    end as days_of_cover,
    counts.on_hand - counts.allocated < counts.reorder_point as is_alert,
    counts.on_hand - counts.allocated <= 0 as is_stockout,
    counts.snapshot_date
from counts
inner join windows
    on counts.product_id = windows.product_id and counts.snapshot_date = windows.date_day;

-- mart: dim_location
create table dim_location as
with listed as (
    select
        'store' as source_system, *,
        row_number() over (
            partition by location_id
            order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
        ) as version
    from raw.store_locations
    union all
    select
        'restaurant' as source_system, *,
        row_number() over (
            partition by location_id
            order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
        ) as version
    from raw.restaurant_locations
),
keyed as (
    select *, md5(source_system || chr(31) || location_id) as location_key
    from listed
    where version = 1
),
seen as (
    select
        daily.location_key,
        daily.source_system,
        max(places.location_id) as location_id,
        min(case when daily.orders > 0 then daily.revenue_date end) as first_order_date
    from fct_revenue_daily as daily
    left join places
        on daily.location_key = places.location_key
    where daily.orders_placed > 0
    group by daily.location_key, daily.source_system
)
select
    coalesce(keyed.location_key, seen.location_key) as location_key,
    coalesce(keyed.source_system, seen.source_system) as source_system,
    coalesce(keyed.location_id, seen.location_id) as location_id,
    coalesce(keyed.name, seen.location_id, 'No location') as location_name,
    keyed.region,
    keyed.timezone,
    keyed.location_key is null as is_inferred,
    keyed.opened_on,
    seen.first_order_date
from keyed
full outer join seen
    on keyed.location_key = seen.location_key;

-- mart: dim_product
create table dim_product as
with last_deliveries as (
    select product_id, _feed, max(_load_sequence) as last_sequence
    from raw.store_products
    group by product_id, _feed
),
extracts as (
    select _feed, max(_load_sequence) as extract_sequence
    from raw.store_products
    where _delivery_mode = 'full_extract'
    group by _feed
),
listings as (
    select
        deliveries.product_id,
        bool_and(coalesce(deliveries.last_sequence < extracts.extract_sequence, false)) as is_discontinued
    from last_deliveries as deliveries
    left join extracts
        on deliveries._feed = extracts._feed
    group by deliveries.product_id
),
begun as (
    select
        states.*,
        coalesce(listings.is_discontinued, false) as is_discontinued,
        coalesce(
            max(
                case
                    when as_of.as_of_date is null or states.valid_from_date <= as_of.as_of_date
                        then states.valid_from
                end
            ) over (partition by states.product_id),
            min(states.valid_from) over (partition by states.product_id)
        ) as current_from
    from product_states as states
    left join listings
        on states.product_id = listings.product_id
    left join as_of
        on as_of.source_system = 'store'
),
items as (
    select product_id, product_key, product_version_key, min(ordered_at) as valid_from
    from fct_order_items
    where source_system = 'restaurant'
    group by product_id, product_key, product_version_key
),
lines as (
    select names.product_id, lines.item_category, lines.creation_time_utc, lines.order_id, lines.lineitem_id
    from restaurant_lines as lines
    inner join item_names as names
        on lines.item_name = names.item_name
),
latest as (
    select product_id, max(creation_time_utc) as creation_time_utc
    from lines
    group by product_id
),
newest as (
    select
        lines.product_id,
        lines.item_category,
        row_number() over (
            partition by lines.product_id
            order by lines.order_id collate "C" desc, lines.lineitem_id collate "C" desc
        ) as recency
    from lines
    inner join latest
        on lines.product_id = latest.product_id and lines.creation_time_utc = latest.creation_time_utc
)
select
    product_version_key,
    product_key,
    'store' as source_system,
    product_id,
    name as product_name,
    coalesce(category, 'unknown') as category,
    price as list_price,
    unit_cost,
    valid_from = current_from as is_current,
    is_discontinued,
    valid_from,
    valid_to
from begun
union all
select
    items.product_version_key,
    items.product_key,
    'restaurant' as source_system,
    items.product_id,
    items.product_id as product_name,
    coalesce(newest.item_category, 'unknown') as category,
    cast(null as numeric(18, 4)) as list_price,
    cast(null as numeric(18, 4)) as unit_cost,
    true as is_current,
    false as is_discontinued,
    items.valid_from,
    cast(null as timestamp) as valid_to
from items
inner join newest
    on items.product_id = newest.product_id and newest.recency = 1;

-- mart: mart_inventory_latest
create table mart_inventory_latest as
with sequenced_counts as (
    select
        *,
        row_number() over (partition by product_key order by snapshot_date desc) as counts_ago,
        sum(case when is_alert then 0 else 1 end) over (
            partition by product_key order by snapshot_date desc rows unbounded preceding
        ) as calm_counts
    from fct_inventory_daily
),
streaks as (
    select product_key, count(*) as days_in_alert
    from sequenced_counts
    where calm_counts = 0
    group by product_key
)
select
    latest.product_key,
    latest.product_id,
    latest.source_system,
    products.product_name,
    products.category,
    latest.on_hand,
    latest.allocated,
    latest.available,
    latest.reorder_point,
    coalesce(streaks.days_in_alert, 0) as days_in_alert,
    latest.days_of_cover,
    latest.is_alert,
    latest.is_stockout,
    products.is_discontinued,
    latest.snapshot_date
from sequenced_counts as latest
left join streaks
    on latest.product_key = streaks.product_key
left join dim_product as products
    on latest.product_key = products.product_key and products.is_current
where latest.counts_ago = 1;

-- mart: mart_inventory_alerts
create table mart_inventory_alerts as
select
    product_key,
    product_id,
    source_system,
    product_name,
    category,
    on_hand,
    allocated,
    available,
    reorder_point,
    days_in_alert,
    days_of_cover,
    cast(reorder_point - available as numeric(18, 4)) as suggested_order_quantity,
    is_stockout,
    is_discontinued,
    snapshot_date
from mart_inventory_latest
where is_alert;

-- mart: dim_customer
create table dim_customer as
with versions as (
    select
        *,
        row_number() over (
            partition by id
            order by
                case when updated_at is null then 1 else 0 end, updated_at desc,
                _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
        ) as version
    from raw.store_customers
),
registered as (
    select id, email_token, region, is_loyalty, signup_date, md5('store' || chr(31) || id) as customer_key
    from versions
    where version = 1
),
seen as (
    select
        customer_key,
        max(source_system) as source_system,
        max(customer_id) as customer_id,
        bool_or(is_loyalty and is_booked) as has_loyal_order,
        min(order_date) as first_placed_date,
        min(case when is_booked then order_date end) as first_order_date
    from placed
    where customer_id is not null
    group by customer_key
)
select
    coalesce(registered.customer_key, seen.customer_key) as customer_key,
    case when registered.id is null then seen.source_system else 'store' end as source_system,
    coalesce(registered.id, seen.customer_id) as customer_id,
    registered.email_token,
    registered.region,
    coalesce(registered.is_loyalty, seen.has_loyal_order, false) as is_loyalty_member,
    registered.id is null as is_inferred,
    registered.signup_date,
    seen.first_order_date,
    case
        when registered.signup_date is null or seen.first_placed_date < registered.signup_date
            then seen.first_placed_date
        else registered.signup_date
    end as known_since_date
from registered
full outer join seen
    on registered.customer_key = seen.customer_key;

-- mart: dim_source_system
create table dim_source_system as
select
    source_system,
    as_of_date,
    cast(date_trunc('week', as_of_date + 1) as date) - 1 as complete_week_end,
    cast(date_trunc('month', as_of_date + 1) as date) - 1 as complete_month_end,
    cast(date_trunc('quarter', as_of_date + 1) as date) - 1 as complete_quarter_end,
    cast(date_trunc('year', as_of_date + 1) as date) - 1 as complete_year_end
from as_of;

-- mart: dim_date
create table dim_date as
with calendar as (
    select date_key, is_holiday, holiday_name
    from (
        select
            *,
            row_number() over (
                partition by date_key
                order by _load_sequence desc, _feed collate "C" desc, _batch_id collate "C" desc, _row_number desc
            ) as version
        from raw.restaurant_date_dim
    ) as versions
    where version = 1
),
bounds as (
    select min(first_date) as first_date, max(last_date) as last_date
    from (
        select min(date_key) as first_date, max(date_key) as last_date from calendar
        union all
        select min(order_date), max(order_date) from placed
        union all
        select min(return_date), max(return_date) from fct_returns
        union all
        select min(snapshot_date), max(snapshot_date) from fct_inventory_daily
        union all
        select min(signup_date), max(signup_date) from dim_customer
        union all
        select min(payment_date), max(payment_date) from fct_payments
    ) as ranges
),
days as (
    select bounds.first_date + cast(offsets.days as integer) as date_day
    from bounds
    inner join generate_series(0, 100000) as offsets (days)
        on offsets.days <= bounds.last_date - bounds.first_date
)
select
    cast(extract(year from days.date_day) as integer) as year,
    cast(extract(quarter from days.date_day) as integer) as quarter,
    cast(extract(month from days.date_day) as integer) as month,
    cast(extract(isoyear from days.date_day) as integer) as iso_year,
    cast(extract(week from days.date_day) as integer) as iso_week,
    cast(extract(isodow from days.date_day) as integer) as day_of_week,
    calendar.holiday_name,
    extract(isodow from days.date_day) >= 6 as is_weekend,
    coalesce(calendar.is_holiday, false) as is_holiday,
    days.date_day,
    cast(date_trunc('week', days.date_day) as date) as week_start,
    cast(date_trunc('month', days.date_day) as date) as month_start
from days
left join calendar
    on days.date_day = calendar.date_key;

-- shared: customers
-- One row per customer with a booked order: everything that lifetimes, cohorts and scores need.
create temp table customer_facts as
with windows as (
    select
        source_system,
        as_of_date,
        as_of_date - 89 as period_start,
        as_of_date - 179 as previous_period_start,
        cast(date_trunc('year', as_of_date) as date) as year_start,
        cast(date_trunc('year', as_of_date) - interval '1 year' as date) as previous_year_start,
        cast(as_of_date - interval '1 year' as date) as previous_year_end
    from as_of
),
ordered as (
    select
        sequenced.source_system,
        sequenced.customer_key,
        windows.as_of_date,
        sequenced.first_date,
        max(sequenced.order_date) as last_date,
        min(case when sequenced.order_date > sequenced.first_date then sequenced.order_date end) as second_date,
        count(*) as orders,
        count(case when sequenced.former_date is null or sequenced.former_date <> sequenced.order_date then 1 end)
            as order_dates,
        sum(totals.net_sales_amount) as net_sales,
        sum(case when sequenced.order_date >= windows.period_start then totals.net_sales_amount end)
            as spend_last_period,
        sum(
            case
                when
                    sequenced.order_date >= windows.previous_period_start
                    and sequenced.order_date < windows.period_start
                    then totals.net_sales_amount
            end
        ) as spend_previous_period,
        sum(case when sequenced.order_date >= windows.year_start then totals.net_sales_amount end)
            as spend_this_year,
        sum(
            case
                when
                    sequenced.order_date >= windows.previous_year_start
                    and sequenced.order_date <= windows.previous_year_end
                    then totals.net_sales_amount
            end
        ) as spend_last_year,
        sum(case when sequenced.order_date - sequenced.first_date <= 7 then totals.net_sales_amount end) as net_7,
        sum(case when sequenced.order_date - sequenced.first_date <= 30 then totals.net_sales_amount end) as net_30,
        sum(case when sequenced.order_date - sequenced.first_date <= 90 then totals.net_sales_amount end) as net_90
    from sequenced
    inner join windows
        on sequenced.source_system = windows.source_system
    left join order_totals as totals
        on sequenced.order_key = totals.order_key
    group by sequenced.source_system, sequenced.customer_key, windows.as_of_date, sequenced.first_date
),
refunds as (
    select
        returns.customer_key,
        sum(returns.eligible_refund_amount) as refunds,
        sum(
            case when returns.return_date - ordered.first_date between 0 and 7 then returns.eligible_refund_amount end
        ) as refund_7,
        sum(
            case when returns.return_date - ordered.first_date between 0 and 30 then returns.eligible_refund_amount end
        ) as refund_30,
        sum(
            case when returns.return_date - ordered.first_date between 0 and 90 then returns.eligible_refund_amount end
        ) as refund_90
    from fct_returns as returns
    inner join ordered
        on returns.customer_key = ordered.customer_key
    where returns.is_refund_eligible and returns.return_date <= ordered.as_of_date
    group by returns.customer_key
),
combined as (
    select
        ordered.*,
        coalesce(refunds.refunds, 0) as refunds,
        coalesce(ordered.net_sales, 0) - coalesce(refunds.refunds, 0) as lifetime_value,
        coalesce(refunds.refund_7, 0) as refund_7,
        coalesce(refunds.refund_30, 0) as refund_30,
        coalesce(refunds.refund_90, 0) as refund_90
    from ordered
    left join refunds
        on ordered.customer_key = refunds.customer_key
)
select
    *,
    cast(1 + whole_quotient(
        5 * (rank() over (partition by source_system order by last_date) - 1),
        count(*) over (partition by source_system)
    ) as integer) as r_score,
    cast(1 + whole_quotient(
        5 * (rank() over (partition by source_system order by orders) - 1),
        count(*) over (partition by source_system)
    ) as integer) as f_score,
    cast(1 + whole_quotient(
        5 * (rank() over (partition by source_system order by lifetime_value) - 1),
        count(*) over (partition by source_system)
    ) as integer) as m_score
from combined;

-- mart: mart_customer_lifetime_value
create table mart_customer_lifetime_value as
select
    customer_key,
    source_system,
    case when m_score = 5 then 'High' when m_score = 1 then 'Low' else 'Medium' end as clv_tier,
    cast(lifetime_value as numeric(38, 4)) as lifetime_value_to_date,
    cast(coalesce(net_sales, 0) as numeric(38, 4)) as net_sales,
    cast(refunds as numeric(38, 4)) as refunds,
    orders,
    cast(coalesce(net_sales, 0) as double precision) / cast(orders as double precision) as average_order_value,
    cast(last_date - first_date as integer) as lifespan_days,
    m_score as clv_score,
    first_date as first_order_date,
    last_date as last_order_date,
    as_of_date
from customer_facts;

-- mart: mart_customer_segments
create table mart_customer_segments as
select
    customer_key,
    source_system,
    case
        when r_score >= 4 and f_score >= 4 and m_score >= 4 then 'VIP'
        when r_score >= 4 and orders = 1 then 'New'
        when r_score <= 2 and f_score <= 2 then 'Churn Risk'
        when r_score <= 2 then 'Slipping'
        when f_score >= 4 then 'Loyal'
        else 'Regular'
    end as segment,
    cast(as_of_date - last_date as integer) as recency_days,
    orders as frequency,
    cast(lifetime_value as numeric(38, 4)) as monetary,
    r_score,
    f_score,
    m_score,
    last_date as last_order_date,
    as_of_date
from customer_facts;

-- mart: mart_churn_indicators
create table mart_churn_indicators as
select
    customer_key,
    source_system,
    case
        when as_of_date - last_date > 90 then 'lapsed'
        when as_of_date - last_date > 45 then 'slowing'
        else 'active'
    end as activity_status,
    cast(as_of_date - last_date as integer) as days_since_last_order,
    cast(last_date - first_date as double precision) / nullif(cast(order_dates - 1 as double precision), 0)
        as average_days_between_orders,
    cast(coalesce(spend_last_period, 0) as numeric(38, 4)) as spend_last_period,
    cast(coalesce(spend_previous_period, 0) as numeric(38, 4)) as spend_previous_period,
    cast(coalesce(spend_last_period, 0) - coalesce(spend_previous_period, 0) as double precision)
    / nullif(cast(coalesce(spend_previous_period, 0) as double precision), 0) as spend_change_rate,
    cast(coalesce(spend_this_year, 0) - coalesce(spend_last_year, 0) as double precision)
    / nullif(cast(coalesce(spend_last_year, 0) as double precision), 0) as yoy_spend_change_rate,
    cast((as_of_date - last_date) * (order_dates - 1) as double precision)
    / nullif(cast(last_date - first_date as double precision), 0) as overdue_ratio,
    as_of_date - last_date > 45 as is_at_risk,
    last_date as last_order_date,
    as_of_date
from customer_facts;

-- shared: horizons
create temp table horizons as
select
    customers.source_system,
    horizon.days as horizon_days,
    customers.first_date,
    count(*) as customers,
    count(case when customers.as_of_date - customers.first_date >= horizon.days then 1 end) as mature,
    count(
        case
            when
                customers.as_of_date - customers.first_date >= horizon.days
                and customers.second_date - customers.first_date <= horizon.days
                then 1
        end
    ) as retained,
    coalesce(sum(
        case
            when customers.as_of_date - customers.first_date >= horizon.days
                then case horizon.days
                    when 7 then coalesce(customers.net_7, 0) - customers.refund_7
                    when 30 then coalesce(customers.net_30, 0) - customers.refund_30
                    else coalesce(customers.net_90, 0) - customers.refund_90
                end
        end
    ), 0) as ltv_total
from customer_facts as customers
cross join (select 7 as days union all select 30 union all select 90) as horizon
group by customers.source_system, horizon.days, customers.first_date;

-- mart: fct_cohort_ltv
create table fct_cohort_ltv as
select
    source_system,
    horizon_days,
    cast(sum(customers) as bigint) as cohort_customers,
    cast(sum(mature) as bigint) as mature_customers,
    cast(sum(retained) as bigint) as retained_customers,
    cast(sum(retained) as double precision) / nullif(cast(sum(mature) as double precision), 0) as retention_rate,
    cast(sum(ltv_total) as numeric(38, 4)) as ltv_total,
    cast(sum(ltv_total) as double precision) / nullif(cast(sum(mature) as double precision), 0) as ltv_per_customer,
    cast(date_trunc('month', first_date) as date) as cohort_month
from horizons
group by source_system, horizon_days, cast(date_trunc('month', first_date) as date);

-- mart: fct_cohort_ltv_weekly
create table fct_cohort_ltv_weekly as
select
    source_system,
    horizon_days,
    cast(sum(customers) as bigint) as cohort_customers,
    cast(sum(mature) as bigint) as mature_customers,
    cast(sum(retained) as bigint) as retained_customers,
    cast(sum(retained) as double precision) / nullif(cast(sum(mature) as double precision), 0) as retention_rate,
    cast(sum(ltv_total) as numeric(38, 4)) as ltv_total,
    cast(sum(ltv_total) as double precision) / nullif(cast(sum(mature) as double precision), 0) as ltv_per_customer,
    cast(date_trunc('week', first_date) as date) as cohort_week
from horizons
group by source_system, horizon_days, cast(date_trunc('week', first_date) as date);

-- mart: mart_cohort_triangle
create table mart_cohort_triangle as
with ordered as (
    select
        sequenced.source_system,
        cast(date_trunc('month', sequenced.first_date) as date) as cohort_month,
        cast(date_trunc('month', sequenced.order_date) as date) as activity_month,
        count(
            case
                when
                    sequenced.former_date is null
                    or date_trunc('month', sequenced.former_date) <> date_trunc('month', sequenced.order_date)
                    then 1
            end
        ) as active_customers,
        coalesce(sum(totals.net_sales_amount), 0) as net_revenue
    from sequenced
    left join order_totals as totals
        on sequenced.order_key = totals.order_key
    group by
        sequenced.source_system,
        cast(date_trunc('month', sequenced.first_date) as date),
        cast(date_trunc('month', sequenced.order_date) as date)
),
refunded as (
    select
        customers.source_system,
        cast(date_trunc('month', customers.first_date) as date) as cohort_month,
        cast(date_trunc('month', returns.return_date) as date) as activity_month,
        sum(returns.eligible_refund_amount) as refunds
    from fct_returns as returns
    inner join customer_facts as customers
        on returns.customer_key = customers.customer_key
    where returns.is_refund_eligible and returns.return_date <= customers.as_of_date
    group by
        customers.source_system,
        cast(date_trunc('month', customers.first_date) as date),
        cast(date_trunc('month', returns.return_date) as date)
),
cohorts as (
    select
        source_system,
        cast(date_trunc('month', first_date) as date) as cohort_month,
        cast(date_trunc('month', as_of_date) as date) as as_of_month,
        count(*) as cohort_customers
    from customer_facts
    group by
        source_system,
        cast(date_trunc('month', first_date) as date),
        cast(date_trunc('month', as_of_date) as date)
),
cells as (
    select
        cohorts.source_system,
        cohorts.cohort_month,
        months.month_start as activity_month,
        cohorts.cohort_customers,
        coalesce(ordered.active_customers, 0) as active_customers,
        coalesce(ordered.net_revenue, 0) - coalesce(refunded.refunds, 0) as net_revenue
    from cohorts
    inner join (select distinct month_start from dim_date) as months
        on months.month_start between cohorts.cohort_month and cohorts.as_of_month
    left join ordered
        on
            cohorts.source_system = ordered.source_system
            and cohorts.cohort_month = ordered.cohort_month
            and months.month_start = ordered.activity_month
    left join refunded
        on
            cohorts.source_system = refunded.source_system
            and cohorts.cohort_month = refunded.cohort_month
            and months.month_start = refunded.activity_month
)
select
    source_system,
    cast(
        (extract(year from activity_month) - extract(year from cohort_month)) * 12
        + extract(month from activity_month) - extract(month from cohort_month) as integer
    ) as month_number,
    cohort_customers,
    active_customers,
    cast(active_customers as double precision) / cast(cohort_customers as double precision) as retention_rate,
    cast(net_revenue as numeric(38, 4)) as net_revenue,
    cast(
        sum(net_revenue) over (
            partition by source_system, cohort_month order by activity_month rows unbounded preceding
        ) as double precision
    ) / cast(cohort_customers as double precision) as cumulative_net_revenue_per_customer,
    cohort_month
from cells;

-- mart: fct_customer_metrics
create table fct_customer_metrics as
with bounds as (
    select placed.source_system, min(placed.order_date) as first_date, max(placed.order_date) as last_date
    from placed
    group by placed.source_system
),
period_types as (
    select 'day' as period_type union all select 'week' union all select 'month'
),
periods as (
    select distinct
        bounds.source_system,
        period_types.period_type,
        cast(date_trunc(period_types.period_type, dates.date_day) as date) as period_start
    from bounds
    inner join dim_date as dates
        on dates.date_day between bounds.first_date and bounds.last_date
    cross join period_types
),
-- Per day and day before: few rows, from which each period type takes what begins a period.
steps as (
    select source_system, order_date, former_date, count(*) as orders
    from sequenced
    group by source_system, order_date, former_date
),
typed_steps as (
    select
        steps.source_system,
        period_types.period_type,
        cast(date_trunc(period_types.period_type, steps.order_date) as date) as period_start,
        cast(date_trunc(period_types.period_type, steps.former_date) as date) as former_start,
        cast(
            date_trunc(
                period_types.period_type,
                cast(date_trunc(period_types.period_type, steps.order_date) as date) - 1
            ) as date
        ) as previous_start,
        steps.orders
    from steps
    cross join period_types
),
activity as (
    select
        source_system,
        period_type,
        period_start,
        sum(orders) as active_customers,
        sum(case when former_start is null then orders else 0 end) as new_customers,
        sum(case when former_start is not null then orders else 0 end) as repeat_customers,
        sum(case when former_start = previous_start then orders else 0 end) as retained_customers
    from typed_steps
    where former_start is null or former_start <> period_start
    group by source_system, period_type, period_start
),
known as (
    select
        customers.source_system,
        greatest(customers.known_since_date, bounds.first_date) as known_date,
        count(*) as customers
    from dim_customer as customers
    inner join bounds
        on customers.source_system = bounds.source_system
    group by customers.source_system, greatest(customers.known_since_date, bounds.first_date)
),
additions as (
    select
        known.source_system,
        period_types.period_type,
        cast(date_trunc(period_types.period_type, known.known_date) as date) as period_start,
        sum(known.customers) as added
    from known
    cross join period_types
    group by
        known.source_system,
        period_types.period_type,
        cast(date_trunc(period_types.period_type, known.known_date) as date)
),
measured as (
    select
        periods.source_system,
        periods.period_type,
        periods.period_start,
        case periods.period_type
            when 'day' then periods.period_start
            when 'week' then periods.period_start + 6
            else cast(periods.period_start + interval '1 month' as date) - 1
        end as period_end,
        sum(coalesce(additions.added, 0)) over (
            partition by periods.source_system, periods.period_type
            order by periods.period_start rows unbounded preceding
        ) as total_customers,
        coalesce(activity.active_customers, 0) as active_customers,
        coalesce(activity.new_customers, 0) as new_customers,
        coalesce(activity.repeat_customers, 0) as repeat_customers,
        coalesce(activity.retained_customers, 0) as retained_customers,
        lag(coalesce(activity.active_customers, 0)) over (
            partition by periods.source_system, periods.period_type order by periods.period_start
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
    cast(measured.active_customers as double precision)
    / nullif(cast(measured.total_customers as double precision), 0) as active_customer_share,
    cast(measured.retained_customers as double precision)
    / nullif(cast(measured.previous_active_customers as double precision), 0) as period_retention_rate,
    measured.period_end <= as_of.as_of_date as is_complete_period,
    measured.period_start,
    measured.period_end
from measured
inner join as_of
    on measured.source_system = as_of.source_system;

-- mart: mart_loyalty_impact
create table mart_loyalty_impact as
with grouped as (
    select
        customers.source_system,
        case when members.is_loyalty_member then 'member' else 'non_member' end as member_group,
        count(*) as customers,
        count(case when customers.orders >= 2 then 1 end) as repeat_customers,
        sum(customers.orders) as orders,
        sum(coalesce(customers.net_sales, 0)) as net_sales,
        sum(customers.lifetime_value) as lifetime_value
    from customer_facts as customers
    left join dim_customer as members
        on customers.customer_key = members.customer_key
    group by customers.source_system, case when members.is_loyalty_member then 'member' else 'non_member' end
)
select
    source_system,
    member_group,
    customers,
    cast(orders as bigint) as orders,
    cast(net_sales as numeric(38, 4)) as net_sales,
    cast(net_sales as double precision) / cast(customers as double precision) as average_spend_per_customer,
    cast(net_sales as double precision) / nullif(cast(orders as double precision), 0) as average_order_value,
    cast(repeat_customers as double precision) / cast(customers as double precision) as repeat_rate,
    cast(orders as double precision) / cast(customers as double precision) as orders_per_customer,
    cast(lifetime_value as double precision) / cast(customers as double precision) as average_lifetime_value,
    cast(net_sales as double precision)
    / nullif(cast(sum(net_sales) over (partition by source_system) as double precision), 0) as revenue_share
from grouped;

-- shared: groups of orders
create temp table order_groups as
select
    source_system,
    location_key,
    is_discounted,
    case when customer_key is null then 'guest' when is_loyalty then 'loyal' else 'other' end as order_group,
    cast(date_trunc('month', order_date) as date) as month_start,
    count(*) as orders,
    sum(lines) as lines,
    sum(lines_with_cost) as lines_with_cost,
    sum(units) as units,
    sum(gross_amount) as gross_revenue,
    sum(discount_amount) as discounts,
    sum(net_sales_amount) as net_sales,
    sum(case when lines_with_cost > 0 then net_sales_with_cost_amount - cost_amount end) as gross_margin
from fct_orders
where is_booked
group by
    source_system,
    location_key,
    is_discounted,
    case when customer_key is null then 'guest' when is_loyalty then 'loyal' else 'other' end,
    cast(date_trunc('month', order_date) as date);

-- mart: mart_loyalty_orders
create table mart_loyalty_orders as
select
    source_system,
    order_group,
    cast(sum(orders) as bigint) as orders,
    cast(sum(net_sales) as numeric(38, 4)) as net_sales,
    cast(sum(net_sales) as double precision) / cast(sum(orders) as double precision) as average_order_value,
    cast(sum(units) as double precision) / cast(sum(orders) as double precision) as units_per_order,
    cast(sum(discounts) as double precision) / nullif(cast(sum(gross_revenue) as double precision), 0)
        as discount_rate
from order_groups
group by source_system, order_group;

-- mart: mart_discount_effectiveness
create table mart_discount_effectiveness as
with sold as (
    select
        location_key,
        source_system,
        is_discounted,
        month_start,
        sum(orders) as orders,
        sum(lines) as lines,
        sum(lines_with_cost) as lines_with_cost,
        sum(units) as units,
        sum(gross_revenue) as gross_revenue,
        sum(discounts) as discounts,
        sum(net_sales) as net_sales,
        sum(gross_margin) as gross_margin
    from order_groups
    group by location_key, source_system, is_discounted, month_start
),
refunded as (
    select
        orders.location_key,
        orders.source_system,
        orders.is_discounted,
        cast(date_trunc('month', returns.return_date) as date) as month_start,
        sum(returns.eligible_refund_amount) as refunds
    from fct_returns as returns
    inner join fct_orders as orders
        on returns.order_key = orders.order_key
    where returns.eligible_refund_amount <> 0 and returns.has_cost and orders.is_booked
    group by
        orders.location_key,
        orders.source_system,
        orders.is_discounted,
        cast(date_trunc('month', returns.return_date) as date)
),
combined as (
    select
        coalesce(sold.location_key, refunded.location_key) as location_key,
        coalesce(sold.source_system, refunded.source_system) as source_system,
        coalesce(sold.orders, 0) as orders,
        coalesce(sold.lines, 0) as lines,
        coalesce(sold.lines_with_cost, 0) as lines_with_cost,
        coalesce(sold.units, 0) as units,
        coalesce(sold.gross_revenue, 0) as gross_revenue,
        coalesce(sold.discounts, 0) as discounts,
        coalesce(sold.net_sales, 0) as net_sales,
        case
            when refunded.refunds is null then sold.gross_margin
            else coalesce(sold.gross_margin, 0) - refunded.refunds
        end as gross_margin,
        coalesce(sold.is_discounted, refunded.is_discounted) as is_discounted,
        coalesce(sold.month_start, refunded.month_start) as month_start
    from sold
    full outer join refunded
        on
            sold.location_key = refunded.location_key
            and sold.source_system = refunded.source_system
            and sold.is_discounted = refunded.is_discounted
            and sold.month_start = refunded.month_start
)
select
    location_key,
    source_system,
    cast(orders as bigint) as orders,
    cast(gross_revenue as numeric(38, 4)) as gross_revenue,
    cast(discounts as numeric(38, 4)) as discounts,
    cast(net_sales as numeric(38, 4)) as net_sales,
    cast(net_sales as double precision) / nullif(cast(orders as double precision), 0) as average_order_value,
    cast(units as double precision) / nullif(cast(orders as double precision), 0) as units_per_order,
    cast(gross_margin as numeric(38, 4)) as gross_margin,
    cast(lines_with_cost as double precision) / nullif(cast(lines as double precision), 0) as lines_with_cost_share,
    cast(discounts as double precision) / nullif(cast(gross_revenue as double precision), 0) as discount_rate,
    is_discounted,
    month_start
from combined;

-- mart: mart_discount_before_after
create table mart_discount_before_after as
with products as (
    select
        source_system,
        product_key,
        min(order_date) as first_sale_date,
        min(case when discount_amount > 0 then order_date end) as first_discount_date
    from fct_order_items
    where is_booked
    group by source_system, product_key
),
compared as (
    select
        products.product_key,
        count(distinct case when lines.order_date < products.first_discount_date then lines.order_key end)
            as orders_before,
        count(distinct case when lines.order_date >= products.first_discount_date then lines.order_key end)
            as orders_after,
        sum(case when lines.order_date < products.first_discount_date then lines.net_sales_amount end)
            as net_sales_before,
        sum(case when lines.order_date >= products.first_discount_date then lines.net_sales_amount end)
            as net_sales_after
    from products
    inner join fct_order_items as lines
        on
            products.product_key = lines.product_key
            and lines.order_date >= products.first_discount_date - 28
            and lines.order_date < products.first_discount_date + 28
    where lines.is_booked
    group by products.product_key
),
observed as (
    select
        products.product_key,
        products.source_system,
        compared.orders_before,
        compared.orders_after,
        cast(coalesce(compared.net_sales_before, 0) as numeric(38, 4)) as net_sales_before,
        cast(coalesce(compared.net_sales_after, 0) as numeric(38, 4)) as net_sales_after,
        products.first_discount_date - products.first_sale_date >= 28
        and as_of.as_of_date - products.first_discount_date >= 27 as is_fully_observed,
        products.first_sale_date,
        products.first_discount_date,
        as_of.as_of_date
    from products
    inner join compared
        on products.product_key = compared.product_key
    inner join as_of
        on products.source_system = as_of.source_system
)
select
    product_key,
    source_system,
    orders_before,
    orders_after,
    net_sales_before,
    net_sales_after,
    case
        when is_fully_observed
            then
                cast(orders_after - orders_before as double precision)
                / nullif(cast(orders_before as double precision), 0)
    end as orders_change_rate,
    case
        when is_fully_observed
            then
                cast(net_sales_after - net_sales_before as double precision)
                / nullif(cast(net_sales_before as double precision), 0)
    end as net_sales_change_rate,
    is_fully_observed,
    first_sale_date,
    first_discount_date,
    as_of_date
from observed;

-- mart: mart_peak_periods
create table mart_peak_periods as
with hours as (
    select
        orders.source_system,
        orders.location_key,
        cast(extract(isodow from orders.order_date) as integer) as iso_weekday,
        cast(extract(hour from orders.ordered_at_local) as integer) as hour,
        as_of.as_of_date,
        count(*) as orders,
        sum(orders.net_sales_amount) as net_sales
    from fct_orders as orders
    inner join as_of
        on orders.source_system = as_of.source_system
    where orders.is_booked and orders.order_date > as_of.as_of_date - 91
    group by
        orders.source_system,
        orders.location_key,
        cast(extract(isodow from orders.order_date) as integer),
        cast(extract(hour from orders.ordered_at_local) as integer),
        as_of.as_of_date
)
select
    md5(
        source_system || chr(31) || location_key || chr(31) || cast(iso_weekday as text) || chr(31)
        || cast(hour as text)
    ) as peak_period_key,
    location_key,
    source_system,
    iso_weekday,
    hour,
    orders,
    cast(net_sales as numeric(38, 4)) as net_sales,
    -- 91 days are thirteen of every weekday.
    cast(13 as bigint) as days_in_window,
    cast(orders as double precision) / 13 as average_orders,
    cast(net_sales as double precision) / 13 as average_net_sales,
    rank() over (partition by location_key order by orders desc) as peak_rank,
    as_of_date
from hours;

-- mart: mart_location_performance
create table mart_location_performance as
with summarised as (
    select
        daily.source_system,
        daily.location_key,
        locations.location_id,
        locations.location_name,
        locations.region,
        sum(daily.net_sales) as total_revenue,
        sum(daily.orders) as orders,
        count(*) as trading_days,
        coalesce(
            sum(case when as_of.as_of_date - daily.revenue_date < 28 then daily.net_sales end), 0
        ) as revenue_last_28_days,
        coalesce(
            sum(case when as_of.as_of_date - daily.revenue_date between 28 and 55 then daily.net_sales end), 0
        ) as revenue_previous_28_days,
        min(daily.revenue_date) as first_trading_date,
        max(daily.revenue_date) as last_trading_date,
        as_of.as_of_date
    from fct_revenue_daily as daily
    inner join as_of
        on daily.source_system = as_of.source_system
    inner join dim_location as locations
        on daily.location_key = locations.location_key
    where daily.orders > 0 and locations.location_id is not null
    group by
        daily.source_system, daily.location_key, locations.location_id, locations.location_name, locations.region,
        as_of.as_of_date
)
select
    location_key,
    location_id,
    source_system,
    location_name,
    region,
    cast(total_revenue as numeric(38, 4)) as total_revenue,
    cast(orders as bigint) as orders,
    cast(total_revenue as double precision) / cast(orders as double precision) as average_order_value,
    trading_days,
    cast(last_trading_date - first_trading_date + 1 as bigint) as calendar_days,
    cast(orders as double precision) / cast(trading_days as double precision) as orders_per_trading_day,
    cast(orders * 7 as double precision)
    / cast(last_trading_date - first_trading_date + 1 as double precision) as orders_per_week,
    rank() over (partition by source_system order by total_revenue desc) as revenue_rank,
    cast(total_revenue as double precision)
    / nullif(cast(sum(total_revenue) over (partition by source_system) as double precision), 0) as revenue_share,
    cast(revenue_last_28_days as numeric(38, 4)) as revenue_last_28_days,
    cast(revenue_previous_28_days as numeric(38, 4)) as revenue_previous_28_days,
    cast(revenue_last_28_days - revenue_previous_28_days as double precision)
    / nullif(cast(revenue_previous_28_days as double precision), 0) as revenue_change_rate,
    first_trading_date,
    last_trading_date,
    as_of_date
from summarised;
