"""One file, two engines: everything that they leave must be equal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyarrow import parquet
from validation_cases import ARRIVED, SECRET, request_for, write_feed

from ingestion.bronze import METADATA_KEY, repeats_path
from ingestion.engines.base import Engine, EntityOutcome
from ingestion.feed import Feed
from ingestion.landing import LandingObject
from ingestion.preflight import inspect_file
from ingestion.tokens import TokenKey
from settings.home import Home

KEY = TokenKey.from_secret(SECRET)

# Compiling everything twice over takes longer than these small files.
DRIVER = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
Table = list[dict[str, Any]]


@dataclass(frozen=True)
class Left:
    """What an engine leaves of one file: the figures, every row of the checked parquet, its form, the repeats."""

    outcome: EntityOutcome
    rows: Table
    columns: list[tuple[str, str, str]]
    footer: bytes
    repeats: Table

    def rules(self) -> list[tuple[int, str, str | None]]:
        """(row number, rule, column) of the rows in quarantine."""
        return [
            (number, row["_rule"], row["_column"])
            for number, row in enumerate(self.rows, start=1)
            if row["_rule"] is not None
        ]


@dataclass
class Pair:
    """Two engines that are to agree."""

    embedded: Engine
    other: Engine
    folder: Path

    def check(self, entity: str, content: bytes, name: str = "delivery.dat", **settings: Any) -> Left:
        """Give one file to both, through the pre-flight as in a run, and compare all that they leave.

        Returns:
            what both left.

        Raises:
            AssertionError: where they differ.
        """
        return self.check_feed(lambda home: write_feed(home, entity, **settings), content, name)

    def check_feed(self, make_feed: Any, content: bytes, name: str = "delivery.dat") -> Left:
        """The same for a feed that is made elsewhere: every entity of it; what is left of the first."""
        homes = [Home(self.folder / engine.name) for engine in (self.embedded, self.other)]
        for home in homes:
            shutil.rmtree(home.root, ignore_errors=True)
        feeds = [make_feed(home.ensure()) for home in homes]
        lefts = []
        for feed_entity in feeds[0].entities:
            one, two = (
                left_by(engine, home, feed, content, name=name, entity=feed_entity.entity)
                for engine, home, feed in zip((self.embedded, self.other), homes, feeds, strict=True)
            )
            compare(one, two)
            lefts.append(one)
        return lefts[0]


def left_by(engine: Engine, home: Home, feed: Feed, content: bytes, *, name: str, entity: str) -> Left:
    """Run one file through pre-flight and engine."""
    landed = home.root / name
    landed.write_bytes(content)
    work = home.root / "inspected"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    item = LandingObject(name=name, size_bytes=len(content), modified_at=ARRIVED, version="1")
    with landed.open("rb") as stream:
        facts = inspect_file(stream, landed, feed, item, work=work)
    request = request_for(home, feed, facts.path, facts, entity)
    outcome = engine.validate(request)
    parts = outcome.rows_accepted + outcome.rows_quarantined + outcome.rows_duplicate + outcome.rows_excluded
    assert outcome.rows_read == parts, "conservation: every row read is somewhere"
    checked = outcome.checked_path
    footer = parquet.read_metadata(checked)
    return Left(
        outcome=replace(outcome, checked_path=Path()),
        rows=parquet.read_table(checked).to_pylist(),
        columns=[(column.name, column.physical_type, str(column.logical_type)) for column in footer.schema],
        footer=footer.metadata[METADATA_KEY.encode()],
        repeats=parquet.read_table(repeats_path(checked)).to_pylist(),
    )


def compare(one: Left, two: Left) -> None:
    """Raises:
    AssertionError: where the two differ; the first differences by row and column.
    """
    assert one.columns == two.columns
    assert len(one.rows) == len(two.rows)
    different = [
        (number, column, value, other[column])
        for number, (row, other) in enumerate(zip(one.rows, two.rows, strict=True), start=1)
        for column, value in row.items()
        if value != other[column]
    ]
    assert not different, different[:20]
    assert one.repeats == two.repeats
    assert one.footer == two.footer
    assert one.outcome == two.outcome


def zipped(**columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of columns of any length: the shorter ones begin anew."""
    count = max(len(texts) for texts in columns.values())
    rows = [[texts[row % len(texts)] for texts in columns.values()] for row in range(count)]
    return list(columns), rows
