{#
    One row per key: the latest version. Most keys come once, and finding the others costs less than ordering all.
    Nulls of the version column sort last by the case, so no engine's null order matters. A feed numbers its own
    deliveries: across feeds the name settles what the number leaves open.
#}
{% macro latest_versions(relation, key_columns, updated_at=none, columns=none) -%}
    {%- set deliveries = only_touched(relation, columns, alias='deliveries') -%}
    {%- set same_key -%}
        {%- for column in key_columns -%}
            deliveries.{{ column }} = repeated.{{ column }}{{ ' and ' if not loop.last }}
        {%- endfor -%}
    {%- endset -%}
    repeated as (

        select {{ key_columns | join(', ') }}
        from {{ deliveries }}
        group by {{ key_columns | join(', ') }}
        having count(*) > 1

    ),

    ranked as (

        select
            deliveries.*,
            row_number() over (
                partition by {% for column in key_columns %}deliveries.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
                order by
                    {%- if updated_at %}
                    case when deliveries.{{ updated_at }} is null then 1 else 0 end,
                    deliveries.{{ updated_at }} desc,
                    {%- endif %}
                    deliveries._load_sequence desc,
                    {{ text_order('deliveries._feed') }} desc,
                    {{ text_order('deliveries._batch_id') }} desc,
                    deliveries._row_number desc
            ) as version_rank
        from {{ deliveries }}
        inner join repeated
            on {{ same_key }}

    ),

    latest as (

        select
            deliveries.*,
            1 as version_rank
        from {{ deliveries }}
        where not exists (
            select 1
            from repeated
            where {{ same_key }}
        )

        union all

        select *
        from ranked
        where version_rank = 1

    )
{%- endmacro %}
