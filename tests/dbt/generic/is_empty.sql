{# A model that lists what should not be: one failure per row, of those that `where_rows` names. #}
{% test is_empty(model, where_rows=none) %}
    select *
    from {{ model }}
    {% if where_rows %}
    where {{ where_rows }}
    {% endif %}
{% endtest %}
