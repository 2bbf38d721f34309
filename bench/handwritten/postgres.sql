-- What DuckDB and Postgres spell differently, under one name for marts.sql. Run first, in the same schema.
create function micros_between(first_time timestamp, second_time timestamp) returns bigint
language sql immutable parallel safe
as $$ select cast(extract(epoch from (second_time - first_time)) * 1000000 as bigint) $$;

create function whole_quotient(dividend bigint, divisor bigint) returns bigint
language sql immutable parallel safe
as $$ select dividend / divisor $$;

create function whole_units_quotient(dividend numeric, divisor numeric) returns numeric
language sql immutable parallel safe
as $$ select div(dividend, divisor) $$;

create function composed_text(value text) returns text
language sql immutable parallel safe
as $$ select normalize(value, nfc) $$;
