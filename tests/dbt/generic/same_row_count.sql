{# Conservation between layers: as many rows here as there; with unique keys on both sides, nothing lost and nothing fanned out. #}
{% test same_row_count(model, compare_to, filter=none) %}
    select
        (select count(*) from {{ model }}{% if filter %} where {{ filter }}{% endif %}) as rows_here,
        (select count(*) from {{ compare_to }}) as rows_there
    where
        (select count(*) from {{ model }}{% if filter %} where {{ filter }}{% endif %})
        <> (select count(*) from {{ compare_to }})
{% endtest %}
