{# One scan for both promises: no part of the key is null, no key comes twice. #}
{% test primary_key(model, column_name=none, columns=none) %}
    {%- set key = columns or [column_name] %}
    select
        {{ key | join(', ') }},
        count(*) as occurrences
    from {{ model }}
    group by {{ key | join(', ') }}
    having count(*) > 1 {% for column in key %}or {{ column }} is null {% endfor %}
{% endtest %}
