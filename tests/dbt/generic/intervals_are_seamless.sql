{# Half-open intervals of a key: each ends where the next begins, the last one is open. No gap, no overlap. #}
{% test intervals_are_seamless(model, key_column, valid_from, valid_to) %}
    with neighbours as (
        select
            {{ key_column }},
            {{ valid_from }},
            {{ valid_to }},
            lead({{ valid_from }}) over (partition by {{ key_column }} order by {{ valid_from }}) as next_valid_from
        from {{ model }}
    )

    select *
    from neighbours
    where
        not {{ is_same(valid_to, 'next_valid_from') }}
        or ({{ valid_to }} is not null and {{ valid_to }} <= {{ valid_from }})
{% endtest %}
