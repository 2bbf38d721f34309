"""No run leaves personal data or a secret behind: canaries go in everywhere, and every byte that is left is searched.

The canaries are card numbers in several spellings and e-mail addresses, in every column of every entity, in columns
that no contract reads, in headers and in file names, in good rows, in rows for the quarantine and in files that are
refused as a whole; the secrets are those of the environment. Runs are processes, under the usual umask.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest
import yaml
from conftest import SAMPLE_FEEDS

from ingestion.contract import load_contracts
from ingestion.feed import Feed, load_feeds
from ingestion.service import IngestionService
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.errors import ExitCode
from settings.home import PROJECT_ROOT, Home

pytestmark = pytest.mark.minutes

CARDS = (
    "4111111111111111",
    "4012 8888 8888 1881",
    "5500-0055-5555-5559",
    "378282246310005",
    "6011 0009-9013 9424",
)
ADDRESS = "Ann.Canary+shop@canary-mail.example"
TEXTS = (
    *CARDS,
    ADDRESS,
    f"paid with {CARDS[1]} exp 12/27, ask {ADDRESS}",
    f'"{CARDS[0]}" <{ADDRESS}>; {CARDS[2]}',
)
WITH_EXPIRY = f"{CARDS[4]}1227"
SECRETS = {
    "TILLHOUSE_TOKEN_KEY": "canary-key-Jq5Xw0b9",
    "TILLHOUSE_POSTGRES_PASSWORD": "canary-password-Zr7Lm2c4",
    "TILLHOUSE_REDSHIFT_PASSWORD": "canary-password-Ht8Vd1k6",
}
HARMLESS = "harmless canary"
EXTRA_HEADERS = ("remark", ADDRESS, f"card {CARDS[3]}", CARDS[0])
# What people put there themselves is theirs; everything else a run has written.
NOT_OURS = ("landing", "feeds")


@dataclass
class CanaryHome:
    """A home, and what its runs printed."""

    home: Home
    printed: list[str] = field(default_factory=list)

    @property
    def feeds(self) -> list[Feed]:
        return load_feeds(self.home.feeds, self.home)

    def run(self) -> int:
        """`tillhouse run` as a process, under the usual umask."""
        environment = {
            **os.environ, **SECRETS, "TILLHOUSE_HOME": str(self.home.root), "DBT_PROFILES_DIR": str(PROJECT_ROOT),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "run"],
            cwd=PROJECT_ROOT, env=environment, capture_output=True, check=False, umask=0o022,
        )  # fmt: skip
        self.printed.append((done.stdout + done.stderr).decode("utf-8", "replace"))
        return done.returncode

    def written(self) -> Iterator[Path]:
        """Every file and folder below the home that is ours."""
        for path in sorted(self.home.root.rglob("*")):
            if path.relative_to(self.home.root).parts[0] not in NOT_OURS:
                yield path

    def dumps(self) -> Iterator[tuple[str, str]]:
        """Everything that is left, in clear: where, and the text."""
        for number, text in enumerate(self.printed):
            yield f"output of run {number}", text
        for path in self.written():
            yield f"name of {path}", path.name
            if path.is_file():
                yield str(path), path.read_bytes().decode("latin-1")
                yield from ((f"{path} {what}", text) for what, text in _decoded(path))


def _decoded(path: Path) -> Iterator[tuple[str, str]]:
    """What compressed and paged files hold, table by table."""
    if path.suffix == ".parquet":
        with duckdb.connect() as connection:
            yield "rows", _rows(connection, f"read_parquet('{path}')")
            yield "footer", str(connection.execute(f"from parquet_kv_metadata('{path}')").fetchall())
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            for schema, table in connection.execute(
                "select table_schema, table_name from information_schema.tables"
                " where table_schema not in ('information_schema', 'pg_catalog')"
            ).fetchall():
                yield f"{schema}.{table}", _rows(connection, f'"{schema}"."{table}"')
    elif path.read_bytes().startswith(b"SQLite format 3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            yield "dump", "\n".join(connection.iterdump())


def _rows(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    return "\n".join(str(row) for row in connection.execute(f"select * from {relation}").fetchall())


def found_canaries(home: CanaryHome) -> list[str]:
    """Where a canary is, and which; empty where none is."""
    digits = {re.sub("[^0-9]", "", card) for card in CARDS}
    needles = [ADDRESS.lower(), "canary-mail", *SECRETS.values()]
    found: list[str] = []
    for where, text in home.dumps():
        lowered = text.lower()
        found += [f"{where}: {needle}" for needle in needles if needle.lower() in lowered]
        runs = (re.sub("[ -]", "", run) for run in re.findall(r"[0-9](?:[ -]?[0-9]){12,}", text))
        found += [f"{where}: {card}" for run in runs for card in digits if card in run]
    return found


def planted_rows(feed: Feed, header: list[str], good: list[str]) -> Iterator[list[str]]:
    """Copies of a good row, each with one canary in one cell, and one with canaries in all of them.

    A whole number without bounds may be anything, so what is written into such a column is a number and no text.
    """
    spared = {
        name
        for entity in feed.entities
        for column in load_contracts()[entity.entity].columns
        if column.allowed or column.type == "integer"
        for name in map(str.casefold, entity.mapping(column.name).source_columns(column.name))
    }
    for position, name in enumerate(header):
        for text in TEXTS if name.strip().casefold() not in spared else ():
            row = list(good)
            row[position] = text
            yield [*row, f"{HARMLESS} {WITH_EXPIRY}", *TEXTS[: len(EXTRA_HEADERS) - 1]]
    yield [TEXTS[-2]] * (len(header) + len(EXTRA_HEADERS))
    yield [TEXTS[-1]] * (len(header) + 1)  # too short
    yield [ADDRESS] * (len(header) + len(EXTRA_HEADERS) + 2)  # too long


def plant(home: CanaryHome) -> None:
    """One more file for every feed, with canaries in its rows, its header and its name."""
    for feed in home.feeds:
        folder = Path(feed.location.removeprefix("file://"))
        newest = max(folder.glob(feed.glob))
        opened = gzip.open if newest.suffix == ".gz" else open
        with opened(newest, "rt", newline="", encoding=feed.encoding) as stream:
            header, good, *_ = csv.reader(stream, delimiter=feed.delimiter)
        (day,) = re.findall(r"_(\d{8})", newest.name)
        name = f"{feed.name} {CARDS[1]} {ADDRESS}_{day}{feed.glob.removeprefix('*')}"
        with opened(folder / name, "wt", newline="", encoding=feed.encoding) as stream:
            writer = csv.writer(stream, delimiter=feed.delimiter)
            writer.writerow([*header, *EXTRA_HEADERS])
            writer.writerows(planted_rows(feed, header, good))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> CanaryHome:
    """A run that loads what it can and fails, because a required file is refused."""
    home = CanaryHome(Home(tmp_path_factory.mktemp("canaries") / "home").ensure())
    generate(SamplePlan(orders=120, days=40, deliveries=1), home.home.landing)
    settings = yaml.load(SAMPLE_FEEDS.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    settings["defaults"]["quarantine_threshold"] = {"share": "1", "rows": "1000"}
    (home.home.feeds / "sample.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    plant(home)
    products = home.home.landing / "store_products"
    # Its day is the newest of all, so that the feed is not complete without it.
    refused = products / f"{CARDS[3]} {ADDRESS}_20991231.csv"
    refused.write_text(f"{ADDRESS};{CARDS[0]};{CARDS[1]}\n{ADDRESS};{CARDS[2]};1\n")
    assert home.run() == ExitCode.DATA_REJECTED, home.printed[-1]
    return home


def test_the_search_sees_what_is_there(ran: CanaryHome) -> None:
    """Whatever holds rows is opened: a text that nobody hides is found in bronze, warehouse and quarantine."""
    seen = [where for where, text in ran.dumps() if HARMLESS in text]
    for place in (".parquet rows", "warehouse.duckdb raw.store_orders", "warehouse.duckdb ops.quarantine"):
        assert any(place in where for where in seen), place
    assert any("dagster" in where and "dump" in where for where, _ in ran.dumps())


def test_a_run_that_fails_leaves_no_canary(ran: CanaryHome) -> None:
    assert found_canaries(ran) == []


def test_nothing_that_a_run_leaves_is_open_to_other_users(ran: CanaryHome) -> None:
    open_to_others = [path for path in ran.written() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []


def test_words_that_a_contract_does_not_know_are_no_way_in(ran: CanaryHome, tmp_path: Path) -> None:
    """Canaries in columns of the contract's words load as `unmapped`, which stops the audit: loaded apart."""
    home = CanaryHome(Home(tmp_path / "home").ensure())
    feed = {
        "name": "orders", "location": "file://landing/orders", "glob": "*.csv", "currency": "USD",
        "entities": [{"entity": "store.orders"}],
    }  # fmt: skip
    (home.home.feeds / "feeds.yml").write_text(yaml.safe_dump({"company": "shop", "feeds": [feed]}))
    (home.home.landing / "orders").mkdir()
    with (home.home.landing / "orders" / "a.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "total_amount", "created_at", "status"])
        writer.writerows([str(n), "1.00", "2026-02-01 10:00:00", text] for n, text in enumerate(TEXTS))
    report = IngestionService(home.home, home.feeds).ingest("run-1")
    assert report.rows_accepted == len(TEXTS)
    assert found_canaries(home) == []
