{#
    All checks of one table in one test node, each with a name of its own: one row per broken check, with its severity and
    the number of rows that break it. What the checks are called is kept in the node's config (`meta.checks`), so that
    checks that pass can be told as well.

    primary_key   columns no part of which is null and which no two rows share  -> `primary_key`
    not_null      columns                                                       -> `<column>_is_not_null`
    accepted      column: values; null is accepted                              -> `<column>_is_accepted`
    references    column: {to: ref('...'), field, within, severity}; null refers to nothing; `field` is the column's
                  own name if not given; `within` is a column that both tables have, equal where the reference is, by
                  which a daily run finds the parents without reading all        -> `<column>_is_known`
    same_rows_as  a relation that has as many rows as this one                  -> `no_row_is_lost`
    rules         name: expression that is true of every row; null counts as broken
    warnings      the same, but what breaks them is told and stops nothing
    remedies      name of a check: what to do when it is broken, kept beside its name

    Rules, accepted values and nulls share one scan of the rows that are looked at; the key is a group-by over its own columns, a reference an anti-join
    over one column.
#}
{% test checks_hold(
    model, primary_key=[], not_null=[], accepted={}, references={}, same_rows_as=none, rules={}, warnings={}, remedies={}
) %}
    {%- set to_check = rows_to_check(model) %}
    {%- set is_whole = to_check == model %}
    {%- set rows = model if is_whole else 'rows_named' %}
    {%- set checks = [] %}
    {%- set row_rules = {} %}
    {%- for column in not_null %}
        {%- do row_rules.update({column ~ '_is_not_null': column ~ ' is not null'}) %}
    {%- endfor %}
    {%- for column, values in accepted.items() %}
        {%- do row_rules.update({
            column ~ '_is_accepted': column ~ ' is null or ' ~ column ~ ' in (' ~ literals(values) ~ ')'
        }) %}
    {%- endfor %}
    {%- do row_rules.update(rules) %}
    {%- do row_rules.update(warnings) %}

    {%- if primary_key %}
        {%- do checks.append({'name': 'primary_key', 'severity': 'error', 'counts': rows_without_own_key(model, primary_key, rows)}) %}
    {%- endif %}
    {%- for name in row_rules %}
        {%- set severity = 'warn' if name in warnings else 'error' %}
        {%- do checks.append({'name': name, 'severity': severity, 'counts': 'select ' ~ name ~ ' from scanned'}) %}
    {%- endfor %}
    {%- for column, parent in references.items() %}
        {%- do checks.append({
            'name': column ~ '_is_known', 'severity': parent.severity or 'error',
            'counts': rows_without_parent(
                rows, column, parent.to, parent.field or column, parent.within, is_whole
            )
        }) %}
    {%- endfor %}
    {%- if same_rows_as %}
        {%- do checks.append({'name': 'no_row_is_lost', 'severity': 'error', 'counts': difference_in_rows(model, same_rows_as)}) %}
    {%- endif %}

    {%- set names = checks | map(attribute='name') | list %}
    {%- if names | unique | list | length < names | length %}
        {{ exceptions.raise_compiler_error('checks_hold: two checks have one name: ' ~ names | join(', ')) }}
    {%- endif %}

    {%- for name in remedies if name not in names %}
        {{ exceptions.raise_compiler_error('checks_hold: there is a remedy for ' ~ name ~ ', which is no check of this table') }}
    {%- endfor %}

    {%- set told = {} %}
    {%- for check in checks %}
        {%- do told.update({check.name: {'severity': check.severity, 'remedy': remedies.get(check.name, '')}}) %}
    {%- endfor %}
    {#- More rows than warnings: at least one error. #}
    {{- config(
        meta={'checks': told},
        error_if="> count(case when severity = 'warn' then 1 end)"
    ) }}

    {%- set steps = [] %}
    {%- if not is_whole %}
        {#- Read once: few rows, and many checks look at them. #}
        {%- do steps.append('rows_named as (select * from ' ~ to_check ~ ')') %}
    {%- endif %}
    {%- if row_rules %}
        {%- set scan %}
    scanned as (
        select
            {%- for name, expression in row_rules.items() %}
            count(case when ({{ expression }}) then null else 1 end) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ rows }}
    )
        {%- endset %}
        {%- do steps.append(scan) %}
    {%- endif %}
    {{ 'with ' ~ steps | join(',\n') if steps }}

    select
        check_name,
        severity,
        broken_rows
    from (
        {%- for check in checks %}
        select
            '{{ check.name }}' as check_name,
            '{{ check.severity }}' as severity,
            ({{ check.counts }}) as broken_rows
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as checked
    where broken_rows > 0
{% endtest %}
