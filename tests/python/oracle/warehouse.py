"""Reading marts for comparison: rows with natural keys in place of hashes, and differences that a person can read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

Row = dict[str, Any]

# Hash column → the natural columns that it stands for (beside source_system), and the marts that carry both.
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "customer_key": (("customer_id",), ("dim_customer",)),
    "location_key": (("location_id",), ("dim_location",)),
    "product_key": (("product_id",), ("dim_product", "fct_order_items", "fct_inventory_daily")),
    "order_key": (
        ("order_id",),
        ("fct_orders", "fct_order_items", "fct_payments", "fct_returns", "mart_payment_reconciliation"),
    ),
    "order_item_key": (("order_id", "line_id"), ("fct_order_items", "fct_returns")),
    "product_version_key": (("product_id", "valid_from"), ("dim_product",)),
}


class KeyRing:
    """What every hash stands for. One hash has one meaning and one meaning has one hash, in all marts."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.meanings: dict[str, dict[str, tuple[Any, ...]]] = {}
        for key, (natural, marts) in KEYS.items():
            meanings: dict[str, tuple[Any, ...]] = {}
            for mart in marts:
                columns = ", ".join((key, "source_system", *natural))
                for found in connection.execute(f"select distinct {columns} from marts.{mart}").fetchall():
                    assert meanings.setdefault(found[0], found[1:]) == found[1:], (
                        f"{key} {found[0]} of {mart}"
                    )
            assert len(set(meanings.values())) == len(meanings), f"two {key} for one {natural}"
            self.meanings[key] = meanings

    def resolve(self, row: Row, own_key: str | None) -> Row:
        """The row with natural columns for its hashes; its own key is left out."""
        result = {name: value for name, value in row.items() if name != own_key}
        for key, (natural, _) in KEYS.items():
            if key not in result:
                continue
            hashed = result.pop(key)
            meaning = self.meanings[key].get(hashed) if hashed is not None else None
            assert hashed is None or meaning is not None, f"{key} {hashed} is in no dimension"
            if meaning is not None:
                assert meaning[0] == row["source_system"], f"{key} {hashed} is of another source system"
            named = meaning[1:] if meaning is not None else (None,) * len(natural)
            for name, value in zip(natural, named, strict=True):
                told = "version_from" if name == "valid_from" else name
                if told in result and hashed is not None:
                    assert result[told] == value, f"{key} stands for {value}, the row says {result[told]}"
                else:
                    result.setdefault(told, value)
        return result


class Warehouse:
    """A published database, opened for reading."""

    def __init__(self, path: Path) -> None:
        self.connection = duckdb.connect(str(path), read_only=True)
        self.keys = KeyRing(self.connection)

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def rows(self, mart: str, where: str = "true") -> list[Row]:
        cursor = self.connection.execute(f"select * from marts.{mart} where {where}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]

    def natural_rows(self, mart: str, own_key: str | None = None, where: str = "true") -> list[Row]:
        rows = self.rows(mart, where)
        if own_key is not None:
            values = [row[own_key] for row in rows]
            assert None not in values, f"{mart}: {own_key} is null"
            assert len(set(values)) == len(values), f"{mart}: {own_key} is not unique"
        return [self.keys.resolve(row, own_key) for row in rows]


def same(one: Any, other: Any) -> bool:
    """Equal to the last digit, and bit for bit where a double is expected."""
    if isinstance(one, float) or isinstance(other, float):
        return isinstance(one, float) and isinstance(other, float) and one.hex() == other.hex()
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def differences(mart: str, actual: Sequence[Row], expected: Sequence[Row], grain: Sequence[str]) -> list[str]:
    """One line per missing row, surplus row, missing column and unequal cell; empty when all is equal."""
    report: list[str] = []
    got, wanted = _by_grain(actual, grain, report), _by_grain(expected, grain, report)
    report += [f"{mart}: no row for {_words(grain, key)}" for key in wanted.keys() - got.keys()]
    report += [
        f"{mart}: nothing was sold that gives row {_words(grain, key)}" for key in got.keys() - wanted.keys()
    ]
    for side, columns in (
        ("lacks column", _columns(expected) - _columns(actual)),
        ("has a column that was not recomputed:", _columns(actual) - _columns(expected)),
    ):
        if actual and expected:
            report += [f"{mart} {side} {column}" for column in sorted(columns)]
    shared = _columns(actual) & _columns(expected)
    for key in got.keys() & wanted.keys():
        report += [
            f"{mart}.{column} at {_words(grain, key)}: mart {_shown(got[key][column])}, "
            f"from the files {_shown(wanted[key][column])}"
            for column in sorted(shared)
            if not same(got[key][column], wanted[key][column])
        ]
    return sorted(report)


def summary(report: list[str], most: int = 25) -> str:
    """The report for an assertion: how many differences, which columns, and the first of them."""
    columns: dict[str, int] = {}
    for line in report:
        word = line.split(" at ")[0].split(" for ")[0]
        columns[word] = columns.get(word, 0) + 1
    counted = "\n".join(f"  {count} × {word}" for word, count in sorted(columns.items())[:40])
    return f"{len(report)} differences\n{counted}\n" + "\n".join(report[:most])


def _columns(rows: Sequence[Row]) -> set[str]:
    return set(rows[0]) if rows else set()


def _by_grain(rows: Iterable[Row], grain: Sequence[str], report: list[str]) -> dict[tuple[Any, ...], Row]:
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in grain)
        if key in found:
            report.append(f"two rows for {_words(grain, key)}")
        found[key] = row
    return found


def _words(grain: Sequence[str], key: Sequence[Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(grain, key, strict=True))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value!r} ({value.hex()})"
    return str(value) if isinstance(value, Decimal) else repr(value)
