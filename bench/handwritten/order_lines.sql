-- One statement that validates the shop's order lines: every cell read as text, guarded by a pattern, cast, judged
-- by the rules of the contract store.order_items. Rows stay in the order of the file, so that a row's position in
-- the parquet is its number (`file_row_number`); numbering them with a window would take more. No `in` with more than
-- four words: that becomes a join, which mixes up the rows.
copy (
    with cells as (
        select *
        from read_csv(
            '{source}',
            auto_detect = false,
            header = true,
            delim = ',',
            quote = '"',
            escape = '"',
            null_padding = true,
            strict_mode = false,
            columns = {
                'order_number': 'varchar',
                'line_number': 'varchar',
                'sku': 'varchar',
                'quantity': 'varchar',
                'unit_price': 'varchar',
                'line_discount': 'varchar',
                'surplus': 'varchar'
            },
            nullstr = '\x1a'
        )
    ),

    texts as (
        select
            *,
            case
                when length(order_number) > 4 or (order_number >= '0' and order_number < ':') then order_number
                when not regexp_matches(upper(order_number), '^(|NULL|N/A|NA|NONE|NAN|#N/A|\\N)\z') then order_number
            end as order_id,
            case
                when length(line_number) > 4 or (line_number >= '0' and line_number < ':') then line_number
                when not regexp_matches(upper(line_number), '^(|NULL|N/A|NA|NONE|NAN|#N/A|\\N)\z') then line_number
            end as line_id,
            case
                when length(sku) > 4 or (sku >= '0' and sku < ':') then sku
                when not regexp_matches(upper(sku), '^(|NULL|N/A|NA|NONE|NAN|#N/A|\\N)\z') then sku
            end as product_id,
            nullif(quantity, '') as quantity_text,
            nullif(unit_price, '') as price_text,
            coalesce(nullif(line_discount, ''), '0') as discount_text
        from cells
    ),

    numbers as (
        select
            *,
            case
                when regexp_matches(quantity_text, '^[+-]?(0*[0-9]{1,14}([.][0-9]{0,4}0*)?|[.][0-9]{1,4}0*)\z')
                    then try_cast(quantity_text as decimal(18, 4))
            end as quantity_value,
            case
                when regexp_matches(price_text, '^[+-]?(0*[0-9]{1,14}([.][0-9]{0,4}0*)?|[.][0-9]{1,4}0*)\z')
                    then try_cast(price_text as decimal(18, 4))
            end as price_value,
            case
                when regexp_matches(discount_text, '^[+-]?(0*[0-9]{1,14}([.][0-9]{0,4}0*)?|[.][0-9]{1,4}0*)\z')
                    then try_cast(discount_text as decimal(18, 4))
            end as discount_value
        from texts
    ),

    judged as (
        select
            *,
            case
                when line_discount is null then 'short_row'
                when surplus is not null then 'long_row'
                when order_id is null then 'order_id: missing_value'
                when line_id is null then 'line_id: missing_value'
                when product_id is null then 'product_id: missing_value'
                when quantity_text is null then 'quantity: missing_value'
                when quantity_value is null then 'quantity: not_a_number'
                when quantity_value < 0 or quantity_value >= 1e6::decimal(18, 4) then 'quantity: out_of_range'
                when price_text is null then 'unit_price: missing_value'
                when price_value is null then 'unit_price: not_a_number'
                when price_value < 0 or price_value >= 1e8::decimal(18, 4) then 'unit_price: out_of_range'
                when discount_value is null then 'discount_amount: not_a_number'
                when discount_value < 0 then 'discount_amount: out_of_range'
                when discount_value > 0 and discount_value > round(quantity_value::decimal(20, 4) * price_value, 4)
                    then 'discount_amount: discount_exceeds_amount'
            end as rule
        from numbers
    )

    select
        order_id,
        line_id,
        product_id,
        quantity_value as quantity,
        price_value as unit_price,
        discount_value as discount_amount,
        rule,
        case
            when rule is not null
                then concat_ws(',', order_number, line_number, sku, quantity, unit_price, line_discount, surplus)
        end as raw_row
    from judged
) to '{target}' (format parquet, compression snappy);
