{#
    Converting a timestamp by a zone that stands in a column costs ten times as much as adding an offset, so offsets are
    looked up once per zone and half hour: no zone has changed its clock within one.
#}
{% macro with_local_time(relation, utc_timestamp, local_timestamp_name, timezone='_business_timezone') -%}
    {%- set is_first_half -%} (extract(minute from {{ utc_timestamp }}) < 30) {%- endset -%}
    {%- set hour -%} date_trunc('hour', {{ utc_timestamp }}) {%- endset -%}
    utc_offsets as (

        select
            {{ timezone }} as offset_timezone,
            {{ hour }} as offset_hour,
            {{ is_first_half }} as is_first_half_hour,
            {{ local_timestamp('min(' ~ utc_timestamp ~ ')', timezone) }} - min({{ utc_timestamp }}) as utc_offset
        from {{ relation }}
        group by
            {{ timezone }},
            {{ hour }},
            {{ is_first_half }}

    ),

    localised as (

        select
            {{ relation }}.*,
            {{ utc_timestamp }} + utc_offsets.utc_offset as {{ local_timestamp_name }}
        from {{ relation }}
        left join utc_offsets
            on
                {{ relation }}.{{ timezone }} = utc_offsets.offset_timezone
                and {{ hour }} = utc_offsets.offset_hour
                and {{ is_first_half }} = utc_offsets.is_first_half_hour

    )
{%- endmacro %}
