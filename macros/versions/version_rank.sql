{#
    Nulls of the version column sort last by the case, so no engine's null order matters. A feed numbers its own
    deliveries: across feeds the name settles what the number leaves open.
#}
{% macro version_rank(key_columns, updated_at=none) -%}
    row_number() over (
        partition by {{ key_columns | join(', ') }}
        order by
            {%- if updated_at %}
            case when {{ updated_at }} is null then 1 else 0 end, {{ updated_at }} desc,
            {%- endif %}
            _load_sequence desc, {{ text_order('_feed') }} desc, {{ text_order('_batch_id') }} desc, _row_number desc
    )
{%- endmacro %}
