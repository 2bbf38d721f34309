"""Questions that people ask about runs and deliveries, and the writers of `ops.runs` and `ops.dbt_results`.

Every function opens the warehouse of its target for itself and lets go of it before it returns. Times
are aware UTC in what goes in, naive UTC in what comes out of a `Table`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion.engines.base import Statement
from ingestion.ledger import naive_utc
from ingestion.object_names import safe_name
from ingestion.ops_schema import (
    CHANGED,
    DBT_RESULTS,
    LOAD_ENTITY_COUNTS,
    LOAD_LEDGER,
    OPS_TABLES,
    QUARANTINE,
    RUNS,
    ensure_tables,
)
from ingestion.report import IngestionReport
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import MissingTableError, Table, Warehouse
from settings.errors import NotFoundError, UsageError
from settings.home import Home

# What a spreadsheet would take for a formula, and what only looks like one: a signed number.
FORMULA_START = r"^[=+\-@\t\r]"
NUMBER = r"^[+\-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+\-]?[0-9]+)?$"


@dataclass(frozen=True)
class RunRow:
    """One row of `ops.runs`; times are naive UTC."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    target: str
    status: str
    files_seen: int
    files_loaded: int
    files_duplicate: int
    files_rejected: int
    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    as_of_date: date | None
    published_at: datetime | None
    message: str | None


@dataclass(frozen=True)
class QuarantineFilter:
    """Which quarantine rows are meant; what is None does not filter. `day` is the day of ingestion, in UTC."""

    feed: str | None = None
    batch_id: str | None = None
    entity: str | None = None
    rule: str | None = None
    status: str | None = "open"
    day: date | None = None
    column: str | None = None
    row_numbers: tuple[int, ...] = ()

    def where(self) -> tuple[str, list[object]]:
        """The condition and its parameters."""
        wanted = {
            "feed": self.feed,
            "batch_id": self.batch_id,
            "entity": self.entity,
            "rule": self.rule,
            "status": self.status,
            "cast(_ingested_at as date)": self.day,
            "column_name": self.column,
        }
        parts = {name: value for name, value in wanted.items() if value is not None}
        conditions, parameters = [f"{name} = ?" for name in parts], list[object](parts.values())
        if self.row_numbers:
            conditions.append(f"row_number in ({', '.join('?' for _ in self.row_numbers)})")
            parameters.extend(self.row_numbers)
        return " and ".join(["true", *conditions]), parameters


ALL_OPEN = QuarantineFilter()
DEFAULT = "duckdb"  # the target


# Runs


def start_run(home: Home, run_id: str, *, target: str) -> None:
    """Note that a run begins. A run id that is there already begins again."""
    with _writing(home, target) as warehouse:
        warehouse.execute(f"delete from {RUNS} where run_id = ?", [run_id])
        # The writer's lock is held: a run that still looks busy was killed.
        warehouse.execute(
            f"update {RUNS} set status = 'failed', message = 'the process ended before the run did'"
            " where status = 'running'"
        )
        warehouse.execute(
            f"insert into {RUNS} (run_id, started_at, target, status, files_seen, files_loaded, files_duplicate,"
            " files_rejected, rows_read, rows_accepted, rows_quarantined)"
            " values (?, ?, ?, 'running', 0, 0, 0, 0, 0, 0, 0)",
            [run_id, naive_utc(datetime.now(UTC)), target],
        )


def record_ingestion(home: Home, run_id: str, report: IngestionReport, *, target: str = DEFAULT) -> None:
    """Write a run's file and row counts."""
    names = (
        "files_seen", "files_loaded", "files_duplicate", "files_rejected",
        "rows_read", "rows_accepted", "rows_quarantined",
    )  # fmt: skip
    with _writing(home, target) as warehouse:
        warehouse.execute(
            f"update {RUNS} set {', '.join(f'{name} = ?' for name in names)} where run_id = ?",
            [*(getattr(report, name) for name in names), run_id],
        )


def finish_run(
    home: Home,
    run_id: str,
    *,
    status: str,
    message: str | None = None,
    published_at: datetime | None = None,
    as_of_date: date | None = None,
    target: str = DEFAULT,
) -> None:
    """Note how a run ended. `published_at` is aware, or naive UTC."""
    published = published_at
    if published is not None and published.tzinfo is not None:
        published = naive_utc(published)
    with _writing(home, target) as warehouse:
        warehouse.execute(
            f"update {RUNS} set finished_at = ?, status = ?, message = ?, published_at = ?,"
            " as_of_date = coalesce(?, as_of_date) where run_id = ?",
            [naive_utc(datetime.now(UTC)), str(status), message, published, as_of_date, run_id],
        )


def record_dbt_results(
    home: Home,
    run_id: str,
    results: Sequence[tuple[str, str, str, str, str | None, int | None, float, str | None]],
    *,
    target: str = DEFAULT,
) -> None:
    """Replace a run's rows of `ops.dbt_results`, in one statement.

    Args:
        results: (unique_id, resource_type, name, status, severity, failures, seconds, message) of each node.
    """
    columns = OPS_TABLES[DBT_RESULTS]
    lists = list(zip(*results, strict=True)) or [()] * (len(columns) - 2)
    named = list(zip(columns[1:-1], lists, strict=True))
    rows = Statement(
        f"select $run_id, {', '.join(f'unnest(${name}::{kind}[])' for (name, kind), _ in named)}, $finished_at",
        {name: list(values) for (name, _), values in named}
        | {"run_id": run_id, "finished_at": naive_utc(datetime.now(UTC))},
    )
    with _writing(home, target) as warehouse:
        warehouse.execute(f"delete from {DBT_RESULTS} where run_id = ?", [run_id])
        warehouse.insert(DBT_RESULTS, columns, rows)


def run_row(home: Home, run_id: str, *, target: str = DEFAULT) -> RunRow:
    """The row of one run.

    Raises:
        NotFoundError: when no such run was recorded.
    """
    names = ", ".join(RunRow.__dataclass_fields__)
    found = _ask(home, target, f"select {names} from {RUNS} where run_id = ?", [run_id])
    if not found.rows:
        raise NotFoundError(f"there is no run {run_id!r}", remedy="`tillhouse status` lists the last runs")
    return RunRow(*found.rows[0])


def last_runs(home: Home, limit: int = 10, *, target: str = DEFAULT) -> Table:
    """The newest runs, newest first."""
    return _ask(
        home,
        target,
        "select run_id, started_at,"
        " cast(extract(epoch from coalesce(finished_at, started_at) - started_at) as double precision) as seconds,"
        " target, status, files_seen, files_loaded, files_duplicate, files_rejected, rows_read, rows_accepted,"
        f" rows_quarantined, as_of_date, published_at, message from {RUNS}"
        " order by started_at desc, run_id limit ?",
        [limit],
    )


def failed_dbt_results(home: Home, run_id: str, *, target: str = DEFAULT) -> Table:
    """Models and tests of a run that did not pass."""
    return _ask(
        home,
        target,
        f"select resource_type, name, status, severity, failures, message from {DBT_RESULTS}"
        " where run_id = ? and status not in ('success', 'pass', 'skipped') order by resource_type, name",
        [run_id],
    )


def dbt_result_counts(home: Home, run_id: str, *, target: str = DEFAULT) -> Table:
    """How many models, tests and other nodes of a run ended in each status."""
    return _ask(
        home,
        target,
        f"select resource_type, status, count(*) as nodes from {DBT_RESULTS} where run_id = ?"
        " group by resource_type, status order by resource_type, status",
        [run_id],
    )


# Deliveries


def ledger_by_feed(home: Home, *, target: str = DEFAULT) -> Table:
    """One row per feed: how many deliveries in each state, rows read, the newest delivery."""
    states = ("loaded", "rejected", "pending", "withdrawn", "duplicate")
    counts = ", ".join(f"count(*) filter (where status = '{state}') as {state}" for state in states)
    return _ask(
        home,
        target,
        f"select feed, {counts},"
        " cast(coalesce(sum(rows_read) filter (where status = 'loaded'), 0) as bigint) as rows_read,"
        " (array_agg(object_name order by load_sequence desc) filter (where status = 'loaded'))[1] as newest_file,"
        f" max(loaded_at) as last_loaded_at from {LOAD_LEDGER} group by feed order by feed",
    )


def ledger_entries(
    home: Home,
    *,
    feed: str | None = None,
    status: str | None = None,
    limit: int = 50,
    target: str = DEFAULT,
) -> Table:
    """Deliveries, the newest number first.

    Raises:
        NotFoundError: when the feed has no delivery.
    """
    conditions, parameters = ["true"], list[object]()
    for name, value in (("feed", feed), ("status", status)):
        if value is not None:
            conditions.append(f"{name} = ?")
            parameters.append(value)
    found = _ask(
        home,
        target,
        "select batch_id, feed, load_sequence, object_name, status, rule, message, rows_read, duplicate_of,"
        f" size_bytes, delivered_at, first_seen_at, loaded_at from {LOAD_LEDGER}"
        f" where {' and '.join(conditions)}"
        " order by feed, load_sequence desc nulls last, first_seen_at desc, object_name limit ?",
        [*parameters, limit],
    )
    if feed is not None and status is None and not found.rows:
        raise NotFoundError(
            f"no delivery of a feed {feed!r} was ever seen",
            remedy="`tillhouse status` lists the feeds that have delivered",
            rule="feed",
        )
    return found


def batches_of_file(
    home: Home, object_name: str, *, feed: str | None = None, target: str = DEFAULT
) -> list[str]:
    """Ids of the loaded deliveries that came under this name, as delivered or as shown, oldest number first.

    Raises:
        NotFoundError: when there is none.
    """
    object_name = safe_name(object_name)
    found = _ask(
        home,
        target,
        f"select batch_id from {LOAD_LEDGER} where object_name = ? and status = 'loaded'"
        " and (cast(? as varchar) is null or feed = ?) order by load_sequence, batch_id",
        [object_name, feed, feed],
    )
    if not found.rows:
        raise NotFoundError(
            f"no loaded delivery is named {object_name!r}",
            remedy="`tillhouse status --feed <feed>` lists the deliveries of a feed",
            rule="file",
        )
    return [str(batch_id) for (batch_id,) in found.rows]


def freshness(home: Home, *, target: str = DEFAULT) -> Table:
    """One row per feed and entity: newest event, newest delivery, last load, rows in the warehouse."""
    return _ask(
        home,
        target,
        "select counts.feed, counts.entity, max(counts.max_event_at) as newest_event_at,"
        " max(coalesce(ledger.delivered_at, ledger.modified_at)) as newest_delivery_at,"
        " max(ledger.loaded_at) as last_loaded_at, cast(sum(counts.rows_accepted) as bigint) as rows_accepted"
        f" from {LOAD_ENTITY_COUNTS} as counts join {LOAD_LEDGER} as ledger using (batch_id)"
        " where ledger.status = 'loaded' group by counts.feed, counts.entity order by counts.feed, counts.entity",
    )


def rows_loaded(home: Home, *, target: str = DEFAULT) -> int:
    """Accepted rows of all loaded deliveries."""
    found = _ask(
        home,
        target,
        f"select cast(coalesce(sum(counts.rows_accepted), 0) as bigint) from {LOAD_ENTITY_COUNTS} as counts"
        f" join {LOAD_LEDGER} as ledger using (batch_id) where ledger.status = 'loaded'",
    )
    return int(found.rows[0][0])


def keys_waiting(home: Home, *, target: str = DEFAULT) -> int:
    """Keys that deliveries touched and that not all models have taken: 0 where nothing was built yet."""
    found = _ask(home, target, f"select count(*) from {CHANGED} where source like 'raw.%'")
    return int(found.rows[0][0])


def data_fingerprint(home: Home, *, target: str = DEFAULT) -> str:
    """A hash over the ledger: it changes when a delivery is loaded, rejected, reloaded or withdrawn."""
    found = _ask(
        home,
        target,
        "select coalesce(string_agg(concat_ws('|', batch_id, status, load_sequence, contract_version, loaded_at),"
        " chr(10)"
        f" order by batch_id), '') from {LOAD_LEDGER}",
    )
    return hashlib.sha256(found.rows[0][0].encode("utf-8")).hexdigest()


# Quarantine


def quarantine_summary(home: Home, only: QuarantineFilter = ALL_OPEN, *, target: str = DEFAULT) -> Table:
    """Counts by feed, entity, rule and day of ingestion; a rejected file counts under `files`."""
    where, parameters = only.where()
    return _ask(
        home,
        target,
        "select feed, entity, rule, cast(_ingested_at as date) as day,"
        " count(*) filter (where row_number is not null) as rows,"
        " count(*) filter (where row_number is null) as files,"
        f" count(distinct batch_id) as batches from {QUARANTINE} where {where}"
        " group by feed, entity, rule, cast(_ingested_at as date) order by feed, entity nulls first, rule, day",
        parameters,
    )


def quarantine_rows(
    home: Home, only: QuarantineFilter = ALL_OPEN, *, limit: int = 50, target: str = DEFAULT
) -> Table:
    """The rows themselves, in the order of their files."""
    where, parameters = only.where()
    return _ask(
        home,
        target,
        "select batch_id, feed, entity, source_file, row_number, rule, column_name, raw_value, message, status"
        f" from {QUARANTINE} where {where} order by feed, source_file, batch_id, entity, row_number limit ?",
        [*parameters, limit],
    )


def quarantine_row(
    home: Home,
    batch_id: str,
    row_number: int | None,
    *,
    entity: str | None = None,
    target: str = DEFAULT,
) -> dict[str, Any]:
    """Everything about one bad row, or about a rejected file (`row_number` None).

    Raises:
        NotFoundError: when it is not in the quarantine.
    """
    names = ", ".join(name for name, _ in OPS_TABLES[QUARANTINE])
    found = _ask(
        home,
        target,
        f"select {names} from {QUARANTINE} where batch_id = ? and row_number is not distinct from cast(? as bigint)"
        " and (cast(? as varchar) is null or entity = ?) order by entity limit 1",
        [batch_id, row_number, entity, entity],
    )
    if not found.rows:
        row = "the file itself" if row_number is None else f"row {row_number}"
        raise NotFoundError(
            f"batch {batch_id!r}: {row} is not in the quarantine",
            remedy="`tillhouse quarantine list` shows what is",
            rule="quarantine",
        )
    return found.records()[0]


def quarantined_batches(home: Home, only: QuarantineFilter = ALL_OPEN, *, target: str = DEFAULT) -> list[str]:
    """Ids of the loaded deliveries that have such rows, in a fixed order."""
    where, parameters = only.where()
    found = _ask(
        home,
        target,
        f"select distinct batch_id from {QUARANTINE} where {where} and row_number is not null"
        f" and batch_id in (select batch_id from {LOAD_LEDGER} as ledger where ledger.status = 'loaded')"
        " order by batch_id",
        parameters,
    )
    return [str(batch_id) for (batch_id,) in found.rows]


def export_quarantine(
    home: Home, path: Path, only: QuarantineFilter = ALL_OPEN, *, target: str = DEFAULT
) -> int:
    """Write quarantine rows as CSV that a spreadsheet opens without running anything. Returns their number.

    A text cell that begins like a formula gets a leading apostrophe; signed numbers stay as they are.

    Raises:
        UsageError: when the file cannot be written.
    """
    where, parameters = only.where()
    cells = ", ".join(
        f"case when regexp_matches({name}, '{FORMULA_START}') and not regexp_full_match({name}, '{NUMBER}')"
        f" then '''' || {name} else {name} end as {name}"
        if definition.startswith("varchar")
        else name
        for name, definition in OPS_TABLES[QUARANTINE]
    )
    file = str(path).replace("'", "''")
    with (
        _reading(home, target) as warehouse,
        warehouse.stream(f"select * from {QUARANTINE} where {where}", parameters) as rows,
        duckdb.connect() as writer,
    ):
        try:
            # Made before the copy, so that it is private from its first byte.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(descriptor, 0o600)  # a file that was there before may have been open to others
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}",
                remedy="name a file in a folder that you may write to",
            ) from error
        writer.register("quarantined", rows)
        copied = writer.execute(
            f"copy (select {cells} from quarantined order by feed, source_file, batch_id, entity, row_number)"
            f" to '{file}' (format csv, header true, use_tmp_file false)"
        ).fetchone()
    return int(copied[0]) if copied else 0


# Connections


@contextmanager
def _writing(home: Home, target: str) -> Iterator[Warehouse]:
    with closing(open_warehouse(target, home)) as warehouse:
        ensure_tables(warehouse, ())
        with warehouse.transaction():
            yield warehouse


@contextmanager
def _reading(home: Home, target: str) -> Iterator[Warehouse]:
    with closing(open_warehouse(target, home, read_only=True)) as warehouse:
        try:
            yield warehouse
        except MissingTableError as error:
            where = f"in {home.root}" if target == "duckdb" else f"of the target {target}"
            raise NotFoundError(
                f"the warehouse {where} has no ledger yet",
                remedy="`tillhouse run` loads what lies in the landing folders",
                rule="no_warehouse",
            ) from error


def _ask(home: Home, target: str, sql: str, parameters: Sequence[object] = ()) -> Table:
    with _reading(home, target) as warehouse:
        return warehouse.query(sql, parameters)
