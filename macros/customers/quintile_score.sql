{% macro quintile_score(members_worse, members) -%}
    cast(1 + {{ integer_quotient('5 * ' ~ members_worse, members) }} as integer)
{%- endmacro %}
