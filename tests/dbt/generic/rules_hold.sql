{#
    Many checks of one table in one scan: a row per broken rule, with its name and the number of rows that break it.
    A rule that evaluates to null counts as broken.
#}
{% test rules_hold(model, rules) %}
    with broken as (
        select
            {%- for name, expression in rules.items() %}
            count(case when ({{ expression }}) then null else 1 end) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ model }}
    )

    {% for name in rules %}
    select
        '{{ name }}' as rule,
        {{ name }} as broken_rows
    from broken
    where {{ name }} > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {% endfor %}
{% endtest %}
