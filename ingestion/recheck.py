"""Judging rows of bronze again, after a feed or a contract has changed.

Bronze has no second copy of a file's text, but of every row in quarantine it keeps the cells as they stood in the
file (personal data hidden), and of every row the cells that no contract read (`_rescued`). So rows in quarantine can
be validated anew by the same program, and columns that a contract has gained can be filled. Rows that are in stay as
they were read: to read them in another way takes the file itself.

What bronze hides cannot be judged again: private columns keep the value that was made of them at the door, and a row
whose hidden cell would be needed as it was stays in quarantine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ingestion.contract import Contract, ContractColumn
from ingestion.engines.base import ValidationRequest
from ingestion.feed import FeedEntity
from ingestion.rules import ROW_RULES
from ingestion.validation import MAXIMUM_CELL_KEPT, json_pointer, sql_name, sql_text

# What stands in a cell of a quarantined row in place of what nobody may see.
HIDDEN_PATTERN = r"\*{4}[0-9]|\[e-mail\]|^\[private\]\z"


@dataclass(frozen=True)
class RowSelection:
    """Which rows in quarantine are meant; what is empty does not narrow."""

    rule: str | None = None
    column: str | None = None
    row_numbers: tuple[int, ...] = ()

    @property
    def is_narrow(self) -> bool:
        return self != RowSelection()

    def condition(self) -> tuple[str, dict[str, object]]:
        """As SQL over a checked parquet with `file_row_number`, and its parameters."""
        parts: list[str] = ["true"]
        parameters: dict[str, object] = {}
        for name, column in (("rule", "_rule"), ("column", "_column")):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{column} = $only_{name}")
                parameters[f"only_{name}"] = value
        if self.row_numbers:
            parts.append("list_contains($only_rows::bigint[], file_row_number + 1)")
            parameters["only_rows"] = list(self.row_numbers)
        return " and ".join(parts), parameters


ALL_ROWS = RowSelection()


def readable_again(request: ValidationRequest, columns: Sequence[str]) -> str:
    """The rows in quarantine whose cells say all that the program needs, as a condition.

    Not among them are rows that could not be taken apart, cells that were cut, and cells with something hidden where
    the exact text matters (ids, numbers, dates, words).

    Args:
        columns: the file's columns as bronze names them.
    """
    known = {name.strip().casefold(): name for name in columns}
    exact: set[str] = set()
    for column in request.contract.columns:
        is_free_text = column.type == "text" and not (
            column.is_identifier or column.allowed or column.vocabulary
        )
        if column.pii == "none" and not is_free_text:
            names = request.feed_entity.mapping(column.name).source_columns(column.name)
            exact.update(known[name.strip().casefold()] for name in names if name.strip().casefold() in known)
    hidden = [
        f"coalesce(regexp_matches(_raw_row ->> {sql_text(json_pointer(name))}, {sql_text(HIDDEN_PATTERN)}), false)"
        for name in columns
        if name in exact
    ]
    cut = f"len(list_filter(_raw_row ->> '$.*', lambda cell: length(cell) >= {MAXIMUM_CELL_KEPT})) > 0"
    row_rules = " or ".join(f"_rule = {sql_text(rule)}" for rule in ROW_RULES)
    is_object = "case when json_valid(_raw_row) then json_type(_raw_row) = 'OBJECT' else false end"
    return (
        f"_rule is not null and not ({row_rules})"
        f" and case when {is_object} then not ({' or '.join([cut, *hidden])}) else false end"
    )


def cells_of(column: str, names: Sequence[str]) -> str:
    """The cells `c0, c1, …` of a JSON object of a row."""
    return ", ".join(f"{column} ->> {sql_text(json_pointer(name))} as c{i}" for i, name in enumerate(names))


def gained_columns(contract: Contract, present: Collection[str]) -> tuple[ContractColumn, ...]:
    """Columns of the contract that a checked parquet lacks and that need nothing that bronze hides."""
    return tuple(
        column for column in contract.columns if column.output_name not in present and column.pii == "none"
    )


def only_gained(contract: Contract, gained: Sequence[ContractColumn]) -> Contract:
    """A contract of these columns alone, which turns no row away: the others of the row are judged already."""
    lenient = [
        column.model_copy(update={"required": False, "required_when": None, "at_most_product_of": ()})
        for column in gained
    ]
    return contract.model_copy(
        update={
            "columns": tuple(lenient), "key": (), "replaced_by": (), "latest_by": None, "event_at": None,
            "change_key": None,
        }
    )  # fmt: skip


def sources_of(feed_entity: FeedEntity, gained: Sequence[ContractColumn], names: Sequence[str]) -> list[str]:
    """The file's columns, as bronze names them, that the gained columns read."""
    known = {name.strip().casefold(): name for name in names}
    wanted = [
        name.strip().casefold()
        for column in gained
        if column.source == "file"
        for name in feed_entity.mapping(column.name).source_columns(column.name)
    ]
    return [known[name] for name in wanted if name in known]


def rescued_of(column: str, names: Sequence[str]) -> str:
    """The JSON object of a row's unread cells with these members alone; null where none of them has a value."""
    if not names:
        return "cast(null as varchar)"
    cells = [f"({column} ->> {sql_text(json_pointer(name))})" for name in names]
    some = " or ".join(f"{cell} is not null" for cell in cells)
    fields = ", ".join(f"{sql_name(name)} := {cell}" for name, cell in zip(names, cells, strict=True))
    return f"case when {some} then cast(to_json(struct_pack({fields})) as varchar) end"
