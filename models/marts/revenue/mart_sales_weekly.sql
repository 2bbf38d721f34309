{% set touched -%}{% raw %}
    {{ changed_keys(
        ['fct_sales_daily'],
        {'source_system': 'source_system', start_of('week', 'day'): 'week_start'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['week_start', 'sales_week_key'],
    scope=['source_system', 'week_start'],
    emits={'day': 'week_start'},
    touched=touched
)) }}

{{ sales_by_period('week') }}
