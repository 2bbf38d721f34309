"""The tables that ingestion owns, `ops.*` and `raw.*`, and `state.*`, which it shares with the models.

They are created wherever a writer opens the warehouse.

Timestamps are naive and in UTC. The statements change nothing that is there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ingestion.contract import LINEAGE_COLUMNS, LINEAGE_OF_ROWS, Contract, raw_column_types
from ingestion.warehouses.base import Warehouse
from settings.errors import ConfigurationError

LOAD_LEDGER = "ops.load_ledger"
LOAD_ENTITY_COUNTS = "ops.load_entity_counts"
QUARANTINE = "ops.quarantine"
DRIFT_EVENTS = "ops.drift_events"
RUNS = "ops.runs"
DBT_RESULTS = "ops.dbt_results"
LOAD_ATTEMPTS = "ops.load_attempts"
SEEN_OBJECTS = "ops.seen_objects"
ERASURES = "ops.erasures"
CHANGED = "state.changed"
WATERMARK = "state.watermark"
BUILT = "state.built"

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
        ("object_version", "varchar"),
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
    # One row per object that was read: what its content was, so that an unchanged one is not read again.
    SEEN_OBJECTS: (
        ("feed", "varchar not null"),
        ("object_name", "varchar not null"),
        ("object_version", "varchar not null"),
        ("content_sha256", "varchar not null"),
    ),
    # One row per erased customer whom this warehouse has lost; a keyed hash names them.
    ERASURES: (
        ("system", "varchar not null"),
        ("customer_token", "varchar not null"),
        ("requested_at", "timestamp not null"),
        ("applied_at", "timestamp not null"),
        ("run_id", "varchar"),
    ),
}

# The same tables as the macros of the incremental models make, whichever comes first.
STATE_TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    # One row per touched thing; key, customer_key and day all null: everything changed.
    CHANGED: (
        ("source", "varchar not null"),
        ("sequence", "bigint not null"),
        ("source_system", "varchar"),
        ("key", "varchar"),
        ("customer_key", "varchar"),
        ("day", "date"),
    ),
    # One row per consumer and source: how far the consumer has taken the source.
    WATERMARK: (
        ("consumer", "varchar not null"),
        ("source", "varchar not null"),
        ("sequence", "bigint not null"),
    ),
    # One row per incremental model: the logic that its stored table was built with.
    BUILT: (
        ("model", "varchar primary key"),
        ("fingerprint", "varchar not null"),
    ),
}
OTHER_NAMES = {
    "text": "varchar", "character varying": "varchar", "numeric": "decimal",
    "timestamp without time zone": "timestamp", "double precision": "double",
}  # fmt: skip
PRIMARY_KEYS = {WATERMARK: ("consumer", "source"), SEEN_OBJECTS: ("feed", "object_name")}


def ensure_tables(warehouse: Warehouse, contracts: Iterable[Contract]) -> dict[str, frozenset[str]]:
    """Create what is missing; add columns that a contract has gained, empty for the rows that are there.

    Other places insert by column name, so an added column may stand after the lineage columns. Columns that a
    contract has lost stay, with what is in them.

    Returns:
        raw table → columns that its contract has no more, where there are any.

    Raises:
        ConfigurationError: when a contract gives a column another type than its raw table has; nothing was changed.
    """
    present: dict[str, dict[str, str]] = {}
    for schema, table, column, kind, precision, scale in warehouse.query(
        "select table_schema, table_name, column_name, data_type, numeric_precision, numeric_scale"
        " from information_schema.columns"
        " where table_catalog = current_database() and table_schema in ('raw', 'ops', 'state')"
    ).rows:
        present.setdefault(f"{schema}.{table}", {})[column] = _plain_type(kind, precision, scale)
    statements = []
    wanted = OPS_TABLES | STATE_TABLES
    raw_tables = {contract.raw_table: tuple(raw_column_types(contract)) for contract in contracts}
    wanted |= raw_tables
    _require_types(present, raw_tables)
    for table, columns in wanted.items():
        if table not in present:
            parts = [f'"{name}" {warehouse.column_type(definition)}' for name, definition in columns]
            if table in PRIMARY_KEYS:
                parts.append(f"primary key ({', '.join(PRIMARY_KEYS[table])})")
            statements.append(f"create table if not exists {table} ({', '.join(parts)})")
            continue
        for name, definition in columns:
            if name not in present[table]:
                kind = warehouse.column_type(definition.split(" ", 1)[0])
                statements.append(f'alter table {table} add column if not exists "{name}" {kind}')
    if statements:
        for schema in ("raw", "ops", "state"):
            warehouse.execute(f"create schema if not exists {schema}")
    for statement in statements:
        warehouse.execute(statement)
    warehouse.prepare_constants(
        list(raw_tables), [(name, kind) for name, kind in LINEAGE_COLUMNS if name not in LINEAGE_OF_ROWS]
    )
    lost = {
        table: frozenset(present.get(table, ())) - {name for name, _ in columns}
        for table, columns in raw_tables.items()
    }
    return {table: names for table, names in lost.items() if names}


def _plain_type(kind: str, precision: int | None, scale: int | None) -> str:
    """A type of `information_schema` in DuckDB's words, without the length of texts."""
    name = kind.lower().split("(")[0]
    name = OTHER_NAMES.get(name, name)
    return f"decimal({precision},{scale})" if name == "decimal" else name


def _require_types(
    present: Mapping[str, Mapping[str, str]], raw_tables: Mapping[str, Sequence[tuple[str, str]]]
) -> None:
    for table, columns in raw_tables.items():
        for name, wanted in columns:
            found = present.get(table, {}).get(name, wanted)
            if found != wanted:
                raise ConfigurationError(
                    f"{table}.{name} is {found}, and its contract says {wanted}",
                    remedy="a column keeps its type: give the contract a column of another name (`output_name`)"
                    " beside it, which `tillhouse reload --all` fills as far as bronze has it; or drop the table and"
                    " `tillhouse reload --all`, where bronze holds the new type",
                    rule="contract_type",
                )
