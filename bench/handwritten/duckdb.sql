-- What DuckDB and Postgres spell differently, under one name for marts.sql. Run first, in the same schema.
create macro micros_between(first_time, second_time) as date_sub('microsecond', first_time, second_time);
create macro whole_quotient(dividend, divisor) as dividend // divisor;
create macro whole_units_quotient(dividend, divisor) as cast(dividend as hugeint) // cast(divisor as hugeint);
create macro composed_text(value) as nfc_normalize(value);
