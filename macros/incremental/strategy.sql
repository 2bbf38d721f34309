{#
    The incremental strategy `touched`. The temporary relation holds the touched rows as they are to be. dbt's own
    delete+insert keeps rows whose key has vanished; this one compares.
#}
{% macro get_incremental_touched_sql(arg_dict) -%}
    {%- do require_same_logic() -%}
    {%- do require_touched_rows_alone() -%}
    {%- set target = arg_dict.target_relation -%}
    {%- set columns = arg_dict.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- set standing = 'select ' ~ columns ~ ' from ' ~ temporary_name('standing') -%}
    {%- set computed = 'select ' ~ columns ~ ' from ' ~ arg_dict.temp_relation -%}
    {%- set touched_part = only_touched(target) if config.get('meta').scope else target -%}
    {{ create_temporary_table('standing', 'select ' ~ columns ~ ' from ' ~ touched_part) }}
    {{ create_temporary_table('gone', standing ~ ' except ' ~ computed) }}
    {{ create_temporary_table('come', computed ~ ' except ' ~ standing) }}
    {{ name_changes(arg_dict.dest_columns) }}
    {%- set row_key = config.get('unique_key') %}
    {%- set systems = source_systems() if 'source_system' in row_key else [none] %}
    {%- for system in systems %}
    delete from {{ target }}
    using {{ temporary_name('gone') }} as gone
    where
        {%- for column in row_key %}
        {{ target.identifier }}.{{ column }} = gone.{{ column }}{{ ' and' if not loop.last }}
        {%- endfor %}
        {% if system %}and {{ target.identifier }}.source_system = '{{ system }}' and gone.source_system = '{{ system }}'{% endif %};
    {%- endfor %}
    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ temporary_name('come') }};
    {{ advance_watermarks(this.identifier, feeds_of_model()) }}
    {%- for what in ['touched', 'standing', 'gone', 'come'] %}
    drop table if exists {{ temporary_name(what) }};
    {%- endfor %}
{%- endmacro %}

{# The former and the new form of every row that differs: who moves from one day to another touches both. #}
{% macro name_changes(columns) -%}
    {%- set emits = config.get('meta').emits -%}
    {%- if emits %}
    {%- set compared = named_columns(columns, config.get('meta').follows_from_others) %}
    insert into state.changed (source, sequence, source_system, key, customer_key, day)
    select distinct
        '{{ this.identifier }}',
        numbered.sequence,
        differing.source_system,
        {{ 'differing.' ~ emits.key if emits.key else 'cast(null as ' ~ text_type() ~ ')' }},
        {{ 'differing.' ~ emits.customer_key if emits.customer_key else 'cast(null as ' ~ text_type() ~ ')' }},
        {{ 'differing.' ~ emits.day if emits.day else 'cast(null as date)' }}
    from (
        (select {{ compared }} from {{ temporary_name('gone') }} except select {{ compared }} from {{ temporary_name('come') }})
        union all
        (select {{ compared }} from {{ temporary_name('come') }} except select {{ compared }} from {{ temporary_name('gone') }})
    ) as differing
    cross join (select 1 + {{ newest_sequence(this.identifier) }} as sequence) as numbered;
    {%- endif %}
{%- endmacro %}

{# The columns but those that change only where another row does, which is then named. #}
{% macro named_columns(columns, left_out) -%}
    {{ return(columns | rejectattr('name', 'in', left_out) | map(attribute='quoted') | join(', ')) }}
{%- endmacro %}

{# Rows of the whole history must not be written beside those that stand: nothing takes the latter away. #}
{% macro require_touched_rows_alone() -%}
    {%- if config.get('meta').scope and '/* touched */' not in model.compiled_code -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ " was compiled for a full build and found its table and its marks when it ran. The table is as "
            ~ "it was: run again. A model with a scope that never uses `only_touched` ends here each time. "
            ~ "[compiled_for_a_full_build]"
        ) }}
    {%- endif -%}
{%- endmacro %}

{# Rows that former logic made must not stand among those of the present one. #}
{% macro require_same_logic() -%}
    {%- set built = run_query("select fingerprint from state.built where model = '" ~ this.identifier ~ "'") -%}
    {%- if built.rows | length > 0 and built.columns[0].values()[0] != logic_fingerprint() -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ " was built with other SQL, macros, variables or seeds than it has now, so what it holds "
            ~ "cannot be continued. Build it anew: `tillhouse run --full-refresh`, or `dbt build --full-refresh --select "
            ~ this.identifier ~ "+`. [changed_model]"
        ) }}
    {%- endif -%}
{%- endmacro %}

{#
    A digest of all that decides what the model computes: its compiled SQL as for a full build, without comments (macros
    and variables are in it), and the text of the views, tables and seeds that it reads.
#}
{% macro logic_fingerprint() -%}
    {%- set re = modules.re -%}
    {%- set compiled = re.sub('(?s)/\\* touched \\*/.*?/\\* rows of (.*?) \\*/', '\\1', model.compiled_code) -%}
    {#- A warehouse may be renamed. -#}
    {%- set parts = [without_comments(compiled | replace('"' ~ this.database ~ '".', ''))] -%}
    {%- for unique_id in logic_ancestors(model.depends_on.nodes, []) | sort -%}
        {%- set node = graph.nodes[unique_id] -%}
        {%- do parts.append(
            unique_id ~ (node.checksum.checksum if node.resource_type == 'seed' else without_comments(node.raw_code))
        ) -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join('\n'))) }}
{%- endmacro %}

{% macro without_comments(text) -%}
    {%- set re = modules.re -%}
    {%- set bare = re.sub('(?s)/\\*.*?\\*/|\\{' ~ '#.*?#' ~ '\\}|--[^\\n]*', ' ', text) -%}
    {{ return(re.sub('\\s+', ' ', bare) | trim) }}
{%- endmacro %}

{# What the model reads down to the models that keep a fingerprint of their own. #}
{% macro logic_ancestors(unique_ids, seen) -%}
    {%- for unique_id in unique_ids -%}
        {%- set node = graph.nodes.get(unique_id) -%}
        {%- if node and unique_id not in seen and node.config.get('incremental_strategy') != 'touched' -%}
            {%- do seen.append(unique_id) -%}
            {%- do logic_ancestors(node.depends_on.nodes, seen) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(seen) }}
{%- endmacro %}
