-- The same file typed by the reader itself, without any rule: what turning it into parquet costs. A cell that does
-- not cast is dropped with its row, without a word.
copy (
    select *
    from read_csv(
        '{source}',
        auto_detect = false,
        header = true,
        delim = ',',
        quote = '"',
        escape = '"',
        columns = {
            'order_number': 'varchar',
            'line_number': 'varchar',
            'sku': 'varchar',
            'quantity': 'decimal(18,4)',
            'unit_price': 'decimal(18,4)',
            'line_discount': 'decimal(18,4)'
        },
        ignore_errors = true
    )
) to '{target}' (format parquet, compression snappy);
