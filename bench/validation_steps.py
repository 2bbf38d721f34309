"""The steps that measure what validating a file costs, each called in a process of its own by `bench.measure`.

They import neither dbt nor Dagster, so that their CPU seconds and memory are those of the work.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from bench.measure import run_named_step
from ingestion.bronze import checked_path
from ingestion.contract import load_contracts
from ingestion.engines import make_engine
from ingestion.engines.base import Lineage, ValidationRequest
from ingestion.feed import load_feeds
from ingestion.landing import FolderStore
from ingestion.preflight import inspect_file
from settings.errors import TillhouseError
from settings.home import PROJECT_ROOT, Home

SAMPLE_FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
FEED, ENTITY, BATCH = "store_order_items", "store.order_items", "measured"
FILE_NAME = "order_lines_20260601.csv"
ARRIVED = datetime(2026, 6, 2, tzinfo=UTC)
THREADS = 2
MEMORY_LIMIT = "2GiB"  # of DuckDB for the SQL by hand, as for the engine
BY_HAND, PLAIN = "order_lines", "order_lines_plain"

Facts = dict[str, Any]


class DifferentRowsError(TillhouseError):
    """The statement by hand and the engine do not judge the rows alike, so their times cannot be compared."""


def step_write_lines(home: Home, words: Mapping[str, Any]) -> Facts:
    """Write `lines` order lines as the sample feed's shop does: three an order, one in some thousands bad."""
    lines = int(words["lines"])
    path = home.landing / FEED / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute(
            "copy (select concat('SO', lpad(cast(i // 3 as varchar), 9, '0')) as order_number,"
            " i % 3 + 1 as line_number,"
            " concat('SKU-', lpad(cast(hash(i) % 5000 as varchar), 5, '0')) as sku,"
            " case when hash(i + 1) % 2000 = 0 then 'many' else cast(hash(i + 2) % 5 + 1 as varchar) end as quantity,"
            " cast(hash(i + 3) % 20000 / 100.0 + 0.5 as decimal(10,2)) as unit_price,"
            " case when hash(i + 4) % 10 = 0 then cast(cast(hash(i + 5) % 60 / 100.0 as decimal(10,2)) as varchar) end"
            f" as line_discount from range({lines}) as numbers(i))"
            f" to '{path}' (header, delimiter ',')"
        )
    return {"rows": lines, "megabytes": round(path.stat().st_size / 1e6, 1)}


def step_preflight(home: Home, words: Mapping[str, Any]) -> Facts:
    """Look at every byte; on one core, since it is one thread."""
    with _work() as spent, inspected(home) as request:
        size = request.facts.size_bytes
    return {
        "rows": request.facts.data_lines or 0,
        **spent,
        "megabytes_per_cpu_second": round(size / 1e6 / spent["work_cpu_seconds"]),
    }


def step_validate(home: Home, words: Mapping[str, Any]) -> Facts:
    """Pre-flight, contract, quarantine and bronze of the file, as an intake does them; nothing is loaded."""
    with _work() as spent, closing(make_engine("duckdb", home)) as engine, inspected(home) as request:
        outcome = engine.validate(request)
    return {"rows": outcome.rows_read, **spent, "quarantined": outcome.rows_quarantined}


def step_by_hand(home: Home, words: Mapping[str, Any]) -> Facts:
    """Run the statement `statement` of `bench/handwritten/` over the file."""
    name = str(words["statement"])
    text = (PROJECT_ROOT / "bench" / "handwritten" / f"{name}.sql").read_text("utf-8")
    output = home.root / f"{name}.parquet"
    text = text.replace("{source}", str(home.landing / FEED / FILE_NAME)).replace("{target}", str(output))
    spill = str(home.root / "spill")
    with (
        _work() as spent,
        duckdb.connect(
            config={"threads": THREADS, "memory_limit": MEMORY_LIMIT, "temp_directory": spill}
        ) as connection,
    ):
        connection.execute(text)
    with duckdb.connect() as connection:
        (rows,) = connection.execute(f"select count(*) from '{output}'").fetchone() or (0,)
    return {"rows": int(rows), **spent}


def step_compare(home: Home, words: Mapping[str, Any]) -> Facts:
    """Fail where a row by hand has other values or another rule than the engine gave it.

    Raises:
        DifferentRowsError: with the number of the first such row.
    """
    checked = checked_path(home, FEED, BATCH, ENTITY)
    by_hand = home.root / f"{BY_HAND}.parquet"
    with duckdb.connect(
        config={"threads": THREADS, "temp_directory": str(home.root / "spill")}
    ) as connection:
        columns = ["order_id", "line_id", "product_id", "quantity", "unit_price", "discount_amount"]
        differs = " or ".join(f"mine.{name} is distinct from theirs.{name}" for name in columns)
        rows, first = connection.execute(
            "select count(*), min(mine.file_row_number + 1) filter ("
            " mine.rule is distinct from concat_ws(': ', theirs._column, theirs._rule)"
            f"   and (mine.rule is not null or theirs._rule is not null) or mine.rule is null and ({differs}))"
            f" from read_parquet('{by_hand}', file_row_number = true) as mine"
            f" full join read_parquet('{checked}', file_row_number = true) as theirs"
            " on mine.file_row_number = theirs.file_row_number"
        ).fetchone() or (0, 0)
    if first is not None:
        raise DifferentRowsError(
            f"row {first} is judged differently by hand and by the engine",
            remedy="find which of the two is wrong (the contract's rules or bench/handwritten/order_lines.sql),"
            " mend it, and measure again",
            rule="bench_equality",
        )
    return {"rows": int(rows)}


STEPS: dict[str, Callable[[Home, Mapping[str, Any]], Facts]] = {
    "write_lines": step_write_lines,
    "preflight": step_preflight,
    "validate": step_validate,
    "by_hand": step_by_hand,
    "compare": step_compare,
}


@contextmanager
def _work() -> Iterator[dict[str, float]]:
    """What the block took, without the start of Python: filled in when it ends."""
    spent: dict[str, float] = {}
    started, cpu = time.monotonic(), _cpu_seconds()
    yield spent
    spent["work_seconds"] = round(time.monotonic() - started, 3)
    spent["work_cpu_seconds"] = round(_cpu_seconds() - cpu, 3)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def inspected(home: Home) -> Iterator[ValidationRequest]:
    """The measured file, opened and through its pre-flight, as a request to an engine."""
    feed = next(feed for feed in load_feeds(SAMPLE_FEEDS, home) if feed.name == FEED)
    contract = load_contracts()[ENTITY]
    work = home.root / "work"
    work.mkdir(exist_ok=True)
    store = FolderStore(home.landing / FEED)
    (item,) = store.list_objects(feed.glob).objects
    with store.open(item, work) as opened:
        facts = inspect_file(opened.stream, opened.path, feed, item, work=work)
        lineage = Lineage(
            feed=feed.name,
            business_timezone=feed.business_timezone,
            batch_id=BATCH,
            load_sequence=1,
            source_file=item.name,
            file_sha256=facts.content_sha256,
            ingested_at=ARRIVED,
            contract_version=contract.version,
            delivery_mode=feed.delivery_mode,
            arrived_at=ARRIVED,
            run_id=BATCH,
        )
        path: Path = checked_path(home, FEED, BATCH, ENTITY)
        yield ValidationRequest(facts, feed, feed.entities[0], contract, lineage, path)


if __name__ == "__main__":
    run_named_step(STEPS)
