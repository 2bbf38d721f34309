"""A table of a Postgres database, read bit by bit: each poll that finds something is one delivery.

A poll reads, in one snapshot, the rows whose watermark is not below the last loaded one less an overlap, and writes
them as CSV in a fixed order, so that equal rows are equal bytes. The mark that a poll reached is the version of its
object; it is kept in the ledger with the delivery, so it moves when the delivery is loaded and not before. A poll that
is lost on the way is made again from the same mark.

Rows that no mark can tell (no watermark, or one beyond the server's clock) come with every poll: they are repeated,
which the warehouse forgives, and they do not move the mark.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import psycopg2
from psycopg2 import sql

from ingestion.feed import Feed, TableSource
from ingestion.landing.base import LandingObject, Listing, ObjectNotReadyError, PrivateCopy
from ingestion.locations import DatabaseLocation
from ingestion.preflight import private_file
from ingestion.retries import PassingError, with_retries
from settings.errors import AccessError, ConfigurationError

TIMES = ("timestamp with time zone", "timestamp without time zone", "date")
NUMBERS = ("smallint", "integer", "bigint")
# Type → a column's text in the form that contracts read; others are cast.
TEXTS = {
    "timestamp with time zone": """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "timestamp without time zone": "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')",
    "date": "to_char({}, 'YYYY-MM-DD')",
    "money": "cast(cast({} as numeric) as text)",
    "bytea": "encode({}, 'hex')",
}
SESSION = {"timezone": "UTC", "datestyle": "ISO, YMD", "extra_float_digits": "1", "intervalstyle": "iso_8601"}
# Without these a connection whose other end has vanished is waited for by the hour.
CONNECTION = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
PASSING_STATES = ("08", "57P", "53", "40", "57014", "55P03")
# A connection that is refused carries no state, only the server's words.
REFUSALS = (
    "authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist",
    "not permitted to log in", "permission denied",
)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """Up to where a table has been read.

    Attributes:
        table, columns, watermark: what was read; of another definition nothing is known.
        high: the highest watermark, as text; None while there was none.
        idle: SHA-256 of what the next poll gives when nothing has changed.
    """

    table: str
    columns: list[str]
    watermark: str
    high: str | None
    idle: str

    def to_version(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class _Polled:
    item: LandingObject
    path: Path


class RelationalStore:
    """See `PolledStore`."""

    versions_tell_content = True

    def __init__(self, database: DatabaseLocation, feed: Feed) -> None:
        if feed.table is None:
            raise ValueError(f"{feed.where} names no table")
        self._database = database
        self._source: TableSource = feed.table
        self._polled: _Polled | None = None

    def poll(self, loaded_version: str | None, work: Path) -> None:
        """See `PolledStore.poll`."""
        self._polled = self._ask(lambda connection: self._poll(connection, self._mark(loaded_version), work))

    def list_objects(self, _glob: str) -> Listing:
        """See `LandingStore.list_objects`: what the last poll found. There are no names to choose from."""
        return Listing((self._polled.item,) if self._polled else (), ())

    @contextmanager
    def open(self, item: LandingObject, _work: Path) -> Iterator[PrivateCopy]:
        """See `LandingStore.open`."""
        if self._polled is None or self._polled.item != item:
            raise ObjectNotReadyError(item.name, "was polled by another run")
        with self._polled.path.open("rb", buffering=0) as stream:
            yield PrivateCopy(stream, self._polled.path)

    def read_companion(self, _name: str, _limit_bytes: int) -> bytes | None:
        """See `LandingStore.read_companion`: there are none."""
        return None

    def state(self, _glob: str) -> Iterator[str]:
        """See `LandingStore.state`: the highest watermark, which costs a look into its index."""

        def highest(connection: Any) -> str | None:
            with connection.cursor() as cursor:
                return self._reading(cursor).highest(None)

        yield f"{self._source.name}\x1f{self._ask(highest)}"

    def _mark(self, version: str | None) -> Mark | None:
        """The mark of what was loaded, where it was read by the present definition."""
        try:
            mark = Mark(**json.loads(version or ""))
        except (ValueError, TypeError):
            return None
        source = self._source
        is_ours = (mark.table, mark.watermark, mark.columns) == (
            source.name, source.watermark, list(source.columns),
        )  # fmt: skip
        return mark if is_ours else None

    def _poll(self, connection: Any, mark: Mark | None, work: Path) -> _Polled | None:
        source = self._source
        with connection.cursor() as cursor:
            reading = self._reading(cursor)
            cursor.execute("select now()")
            now: datetime = cursor.fetchone()[0]
            high = reading.highest(mark.high if mark else None)
            path = work / f"{hashlib.sha256(source.name.encode()).hexdigest()[:32]}.{id(self):x}.landed"
            with private_file(path) as copy:
                content = _Hashed(copy)
                rows = reading.copy(mark.high if mark else None, content)
            if not rows or (mark is not None and content.hexdigest() == mark.idle):
                path.unlink()
                return None
            following = content
            if mark is None or high != mark.high:
                following = _Hashed()
                reading.copy(high, following)
        reached = Mark(source.name, list(source.columns), source.watermark, high, following.hexdigest())
        name = f"{source.name}_{high}.csv" if high else f"{source.name}.csv"
        return _Polled(
            LandingObject(name, content.size, now.astimezone(UTC), reached.to_version()),
            path,
        )

    def _reading(self, cursor: Any) -> _Reading:
        """Look the table up.

        Raises:
            ConfigurationError: when the table or a column is not there, or the watermark is of no use.
        """
        source = self._source
        table = sql.Identifier(*source.name.split("."))
        cursor.execute(
            "select attname, format_type(coalesce(nullif(typbasetype, 0), atttypid), null)"
            " from pg_attribute join pg_type on pg_type.oid = atttypid"
            " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
            [table.as_string(cursor)],
        )
        types = dict(cursor.fetchall())
        if not types:
            raise self._wrong(f"there is no table {source.name!r}")
        for name in (*source.columns, source.watermark):
            if name not in types:
                raise self._wrong(f"the table {source.name!r} has no column {name!r}")
        kind = types[source.watermark]
        amount, _, unit = source.overlap.partition(" ")
        if kind not in (*TIMES, *NUMBERS):
            raise self._wrong(
                f"the watermark {source.watermark!r} is a {kind}, neither a time nor a whole number"
            )
        if (kind in NUMBERS) == bool(unit) and int(amount):
            hint = "a plain number" if kind in NUMBERS else "a time, as 15 minutes"
            raise self._wrong(f"`overlap` is {source.overlap!r}, but the watermark is a {kind}: say {hint}")
        columns = {name: types[name] for name in source.columns or types}
        return _Reading(cursor, table, columns, source.watermark, kind, source.overlap)

    def _wrong(self, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._database.shown}: {problem}", remedy="correct `table` in the feed file", rule="table"
        )

    def _ask(self, work: Any) -> Any:
        """Do something in one read-only snapshot, tried again where that can help."""
        shown = self._database.shown

        def once() -> Any:
            try:
                with closing(psycopg2.connect(**{**CONNECTION, **self._database.settings})) as connection:
                    connection.set_client_encoding("UTF8")
                    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                    with connection.cursor() as cursor:
                        for name, value in SESSION.items():
                            cursor.execute("select set_config(%s, %s, true)", [name, value])
                    return work(connection)
            except psycopg2.Error as error:
                raise self._explained(error) from None

        return with_retries(
            once,
            doing=f"reading {self._source.name} of {shown}",
            remedy="see that the server is up and its address is right, then run again: it goes on from there",
        )

    def _explained(self, error: Any) -> Exception:
        """The error in our words: the server's may quote rows."""
        state = error.pgcode or ""
        kind = type(error).__name__
        if state.startswith(("28", "42501")) or (
            not state and any(words in str(error) for words in REFUSALS)
        ):
            return AccessError(
                f"{self._database.shown} does not let us read {self._source.name} ({state or 'refused'})",
                remedy="see that host, user and database of the location are right, that PGPASSWORD or the password"
                " file holds the user's password, and that the user may select from the table",
                rule="credentials",
            )
        if not state or state.startswith(PASSING_STATES):
            return PassingError(f"the connection did not hold ({state or kind})")
        return self._wrong(f"reading {self._source.name!r} was refused ({kind}, {state})")


@dataclass(frozen=True)
class _Reading:
    """Statements over one table in one snapshot."""

    cursor: Any
    table: sql.Identifier
    columns: dict[str, str]
    watermark: str
    kind: str
    overlap: str

    def highest(self, least: str | None) -> str | None:
        """The highest watermark that can be one, at least what is given; as text."""
        mark = sql.Identifier(self.watermark)
        statement = sql.SQL(
            "select {} from (select greatest(max({}), {}) as high from {} where {}) as found"
        ).format(
            _text(sql.SQL("high"), self.kind), mark, self._value(least), self.table, self._is_useful(mark)
        )
        self.cursor.execute(statement)
        found = self.cursor.fetchone()[0]
        return None if found is None else str(found)

    def copy(self, above: str | None, target: _Hashed) -> int:
        """Write the rows that are not below a mark less the overlap, as CSV. Returns their number."""
        mark = sql.Identifier(self.watermark)
        condition = sql.SQL("true")
        if above is not None:
            unit = "bigint" if self.kind in NUMBERS else "interval"
            overlap = self.overlap if self.overlap.strip("0") else "0"
            condition = sql.SQL("({} >= {} - cast({} as {}) or not {})").format(
                mark, self._value(above), sql.Literal(overlap), sql.SQL(unit), self._is_useful(mark)
            )
        cells = [_text(sql.Identifier(name), kind) for name, kind in self.columns.items()]
        named = [
            sql.SQL("{} as {}").format(cell, sql.Identifier(name))
            for cell, name in zip(cells, self.columns, strict=True)
        ]
        order = [mark, *(sql.SQL('{} collate "C"').format(cell) for cell in cells)]
        statement = sql.SQL(
            "copy (select {} from {} where {} order by {}) to stdout (format csv, header true)"
        ).format(sql.SQL(", ").join(named), self.table, condition, sql.SQL(", ").join(order))
        self.cursor.copy_expert(statement, target)
        return int(self.cursor.rowcount)

    def _value(self, text: str | None) -> sql.Composable:
        return sql.SQL("cast({} as {})").format(sql.Literal(text), sql.SQL(self.kind))

    def _is_useful(self, mark: sql.Identifier) -> sql.Composable:
        """Whether a row's watermark can be one: not missing and, of times, not beyond tomorrow."""
        if self.kind in NUMBERS:
            return sql.SQL("({} is not null)").format(mark)
        return sql.SQL(
            "coalesce(isfinite({0}) and {0} <= (now() at time zone 'UTC') + interval '1 day', false)"
            if self.kind != "timestamp with time zone"
            else "coalesce(isfinite({0}) and {0} <= now() + interval '1 day', false)"
        ).format(mark)


class _Hashed:
    """Bytes that went by, hashed, and written where there is a place for them."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._hasher = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        self.size += len(chunk)
        if self._stream is not None:
            self._stream.write(chunk)

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()


def _text(expression: sql.Composable, kind: str) -> sql.Composable:
    """A value's text in the form that contracts read; what has no such form says so in Postgres's words."""
    plain = sql.SQL("cast({} as text)").format(expression)
    if kind not in TEXTS:
        return plain
    shaped = sql.SQL(TEXTS[kind]).format(expression)
    if kind not in TIMES:
        return shaped
    return sql.SQL("case when isfinite({0}) and {0} >= '0001-01-01' then {1} else {2} end").format(
        expression, shaped, plain
    )
