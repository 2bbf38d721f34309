{% set touched -%}{% raw %}
    {{ changed_keys(
        ['fct_sales_daily'],
        {'source_system': 'source_system', start_of('month', 'day'): 'month_start'}
    ) }}
{% endraw %}{%- endset %}
{{ config(**incremental_by_change(
    row_key=['month_start', 'sales_month_key'],
    scope=['source_system', 'month_start'],
    emits={'day': 'month_start'},
    touched=touched
)) }}

{{ sales_by_period('month') }}
