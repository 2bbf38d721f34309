"""The tables that ingestion owns: `ops.*` and `raw.*`, created wherever a writer opens the warehouse.

Timestamps are naive and in UTC. The statements change nothing that is there already.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from ingestion.contract import Contract, raw_column_types

LOAD_LEDGER = "ops.load_ledger"
LOAD_ENTITY_COUNTS = "ops.load_entity_counts"
QUARANTINE = "ops.quarantine"
DRIFT_EVENTS = "ops.drift_events"
RUNS = "ops.runs"
DBT_RESULTS = "ops.dbt_results"
LOAD_ATTEMPTS = "ops.load_attempts"

# Name, type and constraint of every column, in the order that the dbt sources declare.
OPS_TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    # One row per delivery: feed, object name, content.
    LOAD_LEDGER: (
        ("batch_id", "varchar primary key"),
        ("feed", "varchar not null"),
        ("load_sequence", "bigint"),
        ("object_name", "varchar not null"),
        ("content_sha256", "varchar not null"),
        ("size_bytes", "bigint"),
        ("delivered_at", "timestamp"),
        ("modified_at", "timestamp"),
        ("first_seen_at", "timestamp not null"),
        ("status", "varchar not null"),
        ("rule", "varchar"),
        ("message", "varchar"),
        ("duplicate_of", "varchar"),
        ("rows_read", "bigint"),
        ("run_id", "varchar"),
        ("engine", "varchar"),
        ("contract_version", "varchar"),
        ("loaded_at", "timestamp"),
        ("bronze_paths", "varchar"),
    ),
    # One row per batch and entity.
    LOAD_ENTITY_COUNTS: (
        ("batch_id", "varchar not null"),
        ("feed", "varchar not null"),
        ("entity", "varchar not null"),
        ("rows_read", "bigint"),
        ("rows_accepted", "bigint"),
        ("rows_quarantined", "bigint"),
        ("rows_duplicate", "bigint"),
        ("rows_excluded", "bigint"),
        ("rows_conflicting", "bigint"),
        ("control_totals", "varchar"),
        ("null_counts", "varchar"),
        ("min_event_at", "timestamp"),
        ("max_event_at", "timestamp"),
    ),
    # One row per bad data row, or per rejected file (row_number null).
    QUARANTINE: (
        ("batch_id", "varchar not null"),
        ("feed", "varchar not null"),
        ("entity", "varchar"),
        ("source_file", "varchar"),
        ("file_sha256", "varchar"),
        ("row_number", "bigint"),
        ("rule", "varchar"),
        ("column_name", "varchar"),
        ("raw_value", "varchar"),
        ("raw_row", "varchar"),
        ("other_rules", "varchar"),
        ("message", "varchar"),
        ("_ingested_at", "timestamp"),
        ("run_id", "varchar"),
        ("status", "varchar"),
    ),
    # One row per difference between a delivery's columns and the contract's.
    DRIFT_EVENTS: (
        ("batch_id", "varchar not null"),
        ("feed", "varchar not null"),
        ("entity", "varchar"),
        ("kind", "varchar"),
        ("column_name", "varchar"),
        ("detail", "varchar"),
        ("seen_at", "timestamp"),
    ),
    # One row per run.
    RUNS: (
        ("run_id", "varchar primary key"),
        ("started_at", "timestamp"),
        ("finished_at", "timestamp"),
        ("target", "varchar"),
        ("status", "varchar"),
        ("files_seen", "bigint"),
        ("files_loaded", "bigint"),
        ("files_duplicate", "bigint"),
        ("files_rejected", "bigint"),
        ("rows_read", "bigint"),
        ("rows_accepted", "bigint"),
        ("rows_quarantined", "bigint"),
        ("as_of_date", "date"),
        ("published_at", "timestamp"),
        ("message", "varchar"),
    ),
    # One row per run and dbt node.
    DBT_RESULTS: (
        ("run_id", "varchar"),
        ("unique_id", "varchar"),
        ("resource_type", "varchar"),
        ("name", "varchar"),
        ("status", "varchar"),
        ("severity", "varchar"),
        ("failures", "bigint"),
        ("execution_seconds", "double"),
        ("message", "varchar"),
        ("finished_at", "timestamp"),
    ),
    # One row per try at a delivery, so that a feed file that was corrected gets its rejected files tried again.
    LOAD_ATTEMPTS: (
        ("batch_id", "varchar not null"),
        ("run_id", "varchar"),
        ("attempted_at", "timestamp"),
        ("action", "varchar"),
        ("status", "varchar"),
        ("feed_fingerprint", "varchar"),
    ),
}


def ensure_tables(connection: duckdb.DuckDBPyConnection, contracts: Iterable[Contract]) -> None:
    """Create what is missing; add columns that a contract has gained, empty for the rows that are there.

    Other places insert by column name, so an added column may stand after the lineage columns.
    """
    present: dict[str, set[str]] = {}
    for schema, table, column in connection.execute(
        "select schema_name, table_name, column_name from duckdb_columns()"
        " where database_name = current_database() and schema_name in ('raw', 'ops')"
    ).fetchall():
        present.setdefault(f"{schema}.{table}", set()).add(column)
    statements = []
    wanted = dict(OPS_TABLES)
    wanted.update({contract.raw_table: tuple(raw_column_types(contract)) for contract in contracts})
    for table, columns in wanted.items():
        if table not in present:
            body = ", ".join(f'"{name}" {definition}' for name, definition in columns)
            statements.append(f"create table if not exists {table} ({body})")
            continue
        statements.extend(
            f'alter table {table} add column if not exists "{name}" {definition.split(" ", 1)[0]}'
            for name, definition in columns
            if name not in present[table]
        )
    if statements:
        connection.execute("create schema if not exists raw")
        connection.execute("create schema if not exists ops")
    for statement in statements:
        connection.execute(statement)
