"""Rows of published marts that the report shows beside the metrics."""

from __future__ import annotations

from serving.marts import MartQuery

COHORT_TRIANGLE = MartQuery(
    marts=("mart_cohort_triangle",),
    columns=("source_system", "cohort_month", "month_number", "cohort_customers", "retention_rate"),
    source="{marts}.mart_cohort_triangle",
    filters={
        "source_system": "source_system = {}",
        "first_cohort": "cohort_month >= {}",
        "smallest_group": "cohort_customers >= {}",
    },
    order="source_system, cohort_month, month_number",
)

SCORE_GROUPS = MartQuery(
    marts=("mart_customer_segments",),
    columns=("source_system", "r_score", "f_score", "customers"),
    source=(
        "(select source_system, r_score, f_score, count(*) as customers"
        " from {marts}.mart_customer_segments group by source_system, r_score, f_score) as score_groups"
    ),
    filters={"source_system": "source_system = {}"},
    order="source_system, r_score, f_score",
)

QUARANTINE_RULES = MartQuery(
    marts=("quality_quarantine_by_rule",),
    columns=("feed", "rule", "column_name", "quarantined_rows"),
    source=(
        "(select feed, rule, column_name, cast(sum(quarantined_rows) as bigint) as quarantined_rows"
        " from {quality}.quality_quarantine_by_rule where status = 'open'"
        " group by feed, rule, column_name) as open_rules"
    ),
    filters={"feed": "feed = {}"},
    order="quarantined_rows desc, feed, rule, column_name",
)

# Of the run that recorded last; a run's own tests are recorded after its marts are built.
LATEST_TESTS = MartQuery(
    marts=("quality_test_results", "quality_runs"),
    columns=("status", "tests"),
    source=(
        "(select status, count(*) as tests from {quality}.quality_test_results"
        " where run_id = (select run_id from {quality}.quality_runs"
        " where run_id in (select run_id from {quality}.quality_test_results)"
        " order by started_at desc, run_id limit 1) group by status) as outcomes"
    ),
    order="status",
)
