{% macro quintile_score(members_worse, members) -%}
    cast(1 + {{ integer_quotient('5 * ' ~ members_worse, members) }} as integer)
{%- endmacro %}

{# The highest score whose lowest value is reached. A score that nobody has has no lowest value. #}
{% macro score_reached(measure, value) -%}
    case
        {%- for score in [5, 4, 3, 2] %}
        when {{ value }} >= bounds.{{ measure }}_{{ score }}_from then {{ score }}
        {%- endfor %}
        else 1
    end
{%- endmacro %}
