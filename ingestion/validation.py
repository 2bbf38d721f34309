"""The validation program: one SQL text that turns rows of text into typed values, faults and notes.

It is written once, in DuckDB's dialect, over a relation `source` of text columns `c0, c1, ...` in the order
of the file; another engine runs the same text transpiled. What engines spell differently beyond that (time
zones, Unicode normalisation) is in `Functions`. Rules for the text:

* Values are tested with patterns that end in `\\z` before they are cast: engines' own casts accept different
  things (`1_000`, other scripts' digits, `24:00:00`), and `$` accepts a trailing newline in some.
* No row numbers, no joins, no `IN` lists: each of them can disturb the order of the rows, and the position of
  a row in the checked parquet is its number.
* Keys of tokens are parameters (`$inner_pad`, `$outer_pad`), never text.
* The layers are nested selects. A later layer names what an earlier one computed, so nothing runs twice, and
  what only bad rows need stands behind a `case`.

One row of the result is one data row: the contract's columns typed, then `BOOKKEEPING_COLUMNS`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from ingestion.columns import display_names, is_plain
from ingestion.contract import Contract, ContractColumn, load_contracts
from ingestion.currencies import ISO_4217
from ingestion.date_formats import MONTHS, DateFormat, compile_format
from ingestion.engines.base import DriftEvent, ValidationRequest
from ingestion.feed import UNMAPPED, ColumnMapping, Feed
from ingestion.file_facts import FileFacts
from settings.errors import DataRejectedError

BOOKKEEPING_COLUMNS: tuple[tuple[str, str], ...] = (
    ("_rule", "varchar"),
    ("_column", "varchar"),
    ("_raw_value", "varchar"),
    ("_other_rules", "varchar"),
    ("_raw_row", "varchar"),
    ("_excluded", "boolean"),
    ("_rescued", "varchar"),
    ("_notes", "varchar"),
)

MAXIMUM_FIELD_BYTES = 65_535  # what a Redshift VARCHAR holds
MAXIMUM_CELL_KEPT = 4_000  # characters of each cell that the quarantine keeps of a row
FUTURE_TOLERANCE = timedelta(hours=24)
SENTINEL_DAYS = ("0001-01-01", "1970-01-01", "9999-12-31")
BLANK_WORDS = ("NULL", "N/A", "NA", "NONE", "NAN", "#N/A", r"\N")
TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")

# At most 14 digits before and 4 after the point fit decimal(18,4); zeros on either end do not count.
DECIMAL_PATTERN = r"^[+-]?(0*[0-9]{1,14}([.][0-9]{0,4}0*)?|[.][0-9]{1,4}0*)\z"
# Rounded numbers may have any number of decimals, and the exponent that tiny floats are written with.
ROUNDED_PATTERN = r"^[+-]?(0*[0-9]{1,14}([.][0-9]*)?|[.][0-9]+)([eE]-[0-9]{1,2})?\z"
CENTS_PATTERN = r"^[+-]?(0*[0-9]{1,16}([.][0-9]{0,2}0*)?|[.][0-9]{1,2}0*)\z"
FINE_PATTERN = r"[.][0-9]{4}[0-9]*[1-9]|[eE]"  # more than four decimals
INTEGER_PATTERN = r"^[+-]?0*[0-9]{1,18}([.]0*)?\z"
PLAIN_NUMBER_PATTERN = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)\z"
NOT_FINITE_PATTERN = r"^[+-]?(nan|inf|infinity|[0-9]*[.]?[0-9]*e[+]?[0-9]{3,})\z"
YEAR_PATTERN = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"  # there is no year 0
DATE_PATTERN = rf"^{YEAR_PATTERN}-(0[1-9]|1[0-2])-[0-3][0-9]([ T]00:00(:00([.]0+)?)?)?\z"
TIMESTAMP_PATTERN = (
    rf"^{YEAR_PATTERN}-(0[1-9]|1[0-2])-[0-3][0-9][ T]([01][0-9]|2[0-3]):[0-5][0-9]"
    r"(:[0-5][0-9]([.][0-9]{1,6}0*)?)?"
    r"( ?(Z|z|UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?))?\z"
)
CONTROL_PATTERN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
ID_CONTROL_PATTERN = r"[\x00-\x1f\x7f]"
# Zero-width characters, direction marks and the like: invisible, so they must not tell two ids apart.
INVISIBLE_PATTERN = r"[\x{00AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FEFF}]"
# UTF-8 read as latin-1 or cp1252 and encoded again: "Ã©" for "é", "Â£" for "£", "â€™" for an apostrophe. A letter
# alone proves nothing ("SÃO"), so what must follow it counts too.
DOUBLE_ENCODED_PATTERN = r"[\x{00C2}\x{00C3}][\x{0080}-\x{00BF}]|\x{00E2}\x{20AC}"
DIGIT_RUN_PATTERN = r"[0-9](?:[ -]?[0-9]){12,}"
# All but the last four digits of a long run, and those four.
CUT_PATTERN = r"(?:[0-9][ -]?){9,}([0-9][ -]?[0-9][ -]?[0-9][ -]?[0-9])"
WHOLE_CARD_PATTERN = r"^[0-9](?:[ -]?[0-9]){12,18}\z"
EMAIL_PATTERN = r"[^\s@,;<>()\"]+@[^\s@,;<>()\"]+\.[^\s@,;<>()\"]+"
WHOLE_EMAIL_PATTERN = r"^[^\s@]+@[^\s@]+\.[^\s@]+\z"
# First digits and lengths of the card schemes in use; an id that does not look like this is no card number.
CARD_SCHEME_PATTERN = (
    r"^(4[0-9]{12}|4[0-9]{15}|4[0-9]{18}|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}|3[068][0-9]{12}"
    r"|35[0-9]{14}|6[0-9]{15,18}|5[06-9][0-9]{10,17})\z"
)

# One pattern instead of 180 comparisons: an automaton reads the three letters once.
CURRENCY_PATTERN = rf"^({'|'.join(sorted(ISO_4217))})\z"

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = UPPER.lower()


def passes_luhn(digits: str) -> str:
    """Whether a text of digits passes the Luhn test (ISO/IEC 7812-1, annex B)."""
    at = f"substr(reverse({digits}), cast(p + 1 as integer), 1)"
    digit = f"try_cast({at} as integer)"  # engines may test the guards around this in any order
    doubled = f"cast(substr('0246813579', {digit} + 1, 1) as integer)"
    return (
        f"list_sum(list_transform(range(length({digits})), "
        f"lambda p: case when p % 2 = 0 then {digit} else {doubled} end)) % 10 = 0"
    )


@dataclass(frozen=True)
class Functions:
    """Expressions that engines spell differently. The defaults are DuckDB's.

    Attributes:
        utc_of_local: (local timestamp, zone literal) → UTC timestamp; either side of a gap.
        takes_later_of_two: which moment `utc_of_local` gives for a local time that happened twice.
        local_of_utc: the way back.
        nfc: text in Unicode normalisation form C.
        byte_length: bytes of a text in UTF-8.
        passes_luhn: whether a text of digits passes the Luhn test.
    """

    utc_of_local: Callable[[str, str], str] = lambda value, zone: (
        f"timezone('UTC', timezone({zone}, {value}))"
    )
    local_of_utc: Callable[[str, str], str] = lambda value, zone: (
        f"timezone({zone}, timezone('UTC', {value}))"
    )
    takes_later_of_two: bool = True
    nfc: Callable[[str], str] = lambda value: f"nfc_normalize({value})"
    byte_length: Callable[[str], str] = lambda value: f"strlen({value})"
    passes_luhn: Callable[[str], str] = passes_luhn


@dataclass(frozen=True)
class SourceColumns:
    """The relation `source` that the engine offers: `c0, c1, ...` are the columns of these names.

    Attributes:
        names: as spelled in the file, trimmed.
        overflow: number of columns `x0, x1, ...` that catch surplus cells.
        row_faults: (condition, rule) about the row as a whole, in the order of testing.
        header_repeats: whether a copy of the header may stand between the rows.
        passed: further columns, which the result has too.
    """

    names: tuple[str, ...]
    overflow: int = 0
    row_faults: tuple[tuple[str, str], ...] = ()
    header_repeats: bool = False
    passed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """The validation program of one file and entity.

    Attributes:
        sql: a select over `source`, in the order of its rows.
        needs_token_key: whether `$inner_pad` and `$outer_pad` are to be bound.
        row_number_columns: raw columns whose value is made from the position of the row.
        sums: raw column → the program gives each row's own part; the sum over the key is still to be taken.
        numbers: raw column whose value is still to be made from these raw columns and the row's number among
            the rows that agree in them.
        drift: how the file's columns differ from the contract's.
        columns: the file's columns, by the names that people may see.
    """

    sql: str
    needs_token_key: bool
    row_number_columns: tuple[str, ...]
    sums: tuple[str, ...]
    numbers: Mapping[str, tuple[str, ...]]
    drift: tuple[DriftEvent, ...]
    columns: tuple[str, ...] = ()


def sql_text(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def json_pointer(name: str) -> str:
    """RFC 6901: a path to a member whatever characters its name has."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def any_of(expression: str, words: Iterable[str]) -> str:
    """`expression` is one of the words. Comparisons, because a long `IN` list becomes a join."""
    return "(" + " or ".join(f"{expression} = {sql_text(word)}" for word in words) + ")"


def matches_any(expression: str, words: Iterable[str]) -> str:
    """`expression`, a text or null, is one of the words of a row filter (`*`: any characters, "": no value)."""
    plain = [word for word in words if word and "*" not in word]
    tests = [any_of(expression, plain)] if plain else []
    for word in words:
        if "*" in word:
            pattern = "(?s)^" + ".*".join(re.escape(part) for part in word.split("*")) + r"\z"
            tests.append(f"regexp_matches({expression}, {sql_text(pattern)})")
        elif not word:
            tests.append(f"{expression} is null")
    return f"coalesce({' or '.join(tests)}, false)" if tests else "false"


def lower_ascii(expression: str) -> str:
    return f"translate({expression}, '{UPPER}', '{LOWER}')"


def hmac_token(expression: str) -> str:
    """Hex HMAC-SHA256 of a text with the bound key (RFC 2104)."""
    return f"sha256($outer_pad || unhex(sha256($inner_pad || encode({expression}))))"


def holds_card_number(text: str, functions: Functions) -> str:
    """Whether any run of digits (single blanks and dashes between) contains a card number.

    The whole run counts when it has 13 to 19 digits and passes the Luhn test; a part of a longer run
    (a card number with an expiry date behind it) must look like a card scheme too.
    """
    digits = "regexp_replace(r, '[ -]', '', 'g')"
    window = "substr(d, cast(w // 7 + 1 as integer), cast(13 + w % 7 as integer))"
    part = f"regexp_matches({window}, {sql_text(CARD_SCHEME_PATTERN)}) and {functions.passes_luhn(window)}"
    windows = "range(least(greatest(length(d) - 12, 1), 64) * 7)"
    whole = f"length(d) <= 19 and {functions.passes_luhn('d')}"
    inside = f"list_contains(list_transform({windows}, lambda w: {part}), true)"
    runs = f"list_transform(regexp_extract_all({text}, {sql_text(DIGIT_RUN_PATTERN)}), lambda r: {digits})"
    return f"list_contains(list_transform({runs}, lambda d: ({whole}) or {inside}), true)"


def holds_card_of_a_scheme(text: str, functions: Functions) -> str:
    """Whether a whole run of digits (single blanks and dashes between) is the card number of a scheme.

    For ids: they hold dates, times and counters, in which any number of digits passes the Luhn test now and then.
    """
    digits = "regexp_replace(r, '[ -]', '', 'g')"
    runs = f"list_transform(regexp_extract_all({text}, {sql_text(DIGIT_RUN_PATTERN)}), lambda r: {digits})"
    is_card = f"regexp_matches(d, {sql_text(CARD_SCHEME_PATTERN)}) and {functions.passes_luhn('d')}"
    return f"list_contains(list_transform({runs}, lambda d: {is_card}), true)"


def mask_card_numbers(text: str, functions: Functions) -> str:
    """The text with every long run of digits cut to its last four, if one of them is a card number."""
    return (
        f"case when length({text}) >= 13 and regexp_matches({text}, {sql_text(DIGIT_RUN_PATTERN)}) "
        f"then case when {holds_card_number(text, functions)} "
        f"then regexp_replace({text}, {sql_text(CUT_PATTERN)}, '****\\1', 'g') "
        f"else {text} end else {text} end"
    )


def mask_emails(text: str) -> str:
    return (
        f"case when contains({text}, '@') "
        f"then regexp_replace({text}, {sql_text(EMAIL_PATTERN)}, '[e-mail]', 'g') else {text} end"
    )


@cache
def overlap_minutes(zone: str) -> tuple[int, ...]:
    """By how many minutes the clocks of a zone have gone back since 1970 ("60" nearly everywhere, "30" on
    Lord Howe Island): the distances at which a local time can have happened twice."""
    clock = ZoneInfo(zone)
    day, found, before = datetime(1970, 1, 1, tzinfo=UTC), set[int](), None
    while day.year < 2038:
        offset = day.astimezone(clock).utcoffset()
        if before is not None and offset is not None and offset < before:
            found.add(round((before - offset).total_seconds() / 60))
        before = offset
        day += timedelta(days=1)
    return tuple(sorted(found, reverse=True))


def decoded_facts(request: ValidationRequest) -> FileFacts:
    """What is known about the cells' texts.

    The pre-flight looked at bytes. In JSON any character can be an escape, and parquet is no text at all, so
    there nothing is known.
    """
    if request.feed.format in {"csv", "whitespace"}:
        return request.facts
    return replace(
        request.facts,
        has_quoted_newline=True,
        has_edge_spaces=True,
        has_nul=True,
        has_carriage_return=True,
        is_ascii=False,
        has_control_characters=True,
        has_tabs=True,
        has_at_sign=True,
        longest_line_bytes=None,
    )


def bind_columns(request: ValidationRequest, names: Sequence[str]) -> dict[str, int]:
    """Case-folded name → position of every column of the file.

    Raises:
        DataRejectedError: when two columns have one name (rule `duplicate_header`).
    """
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        folded = name.strip().casefold()
        if folded and folded in positions:
            shown = repr(name) if is_plain(name.strip()) else f"number {position + 1}"
            raise DataRejectedError(
                f"{request.feed.where}: {request.facts.object_name!r} names the column {shown} twice",
                remedy="ask the sender for a file in which every column has its own name",
                rule="duplicate_header",
            )
        positions[folded or f"column_{position + 1}"] = position
    return positions


def build_program(
    request: ValidationRequest, source: SourceColumns, functions: Functions | None = None
) -> Program:
    """Write the program for one file and one entity of its feed.

    Raises:
        DataRejectedError: when the file cannot give what the contract requires (`missing_column`,
            `duplicate_header`).
    """
    return _Builder(request, source, functions or Functions()).build()


@dataclass
class _Column:
    """The expressions of one contract column, as they become known."""

    contract: ContractColumn
    mapping: ColumnMapping
    source: str = "null"  # the file's text
    fault: str = "null"
    notes: list[tuple[str, str]] = field(default_factory=list)  # (condition, note)
    noted_where: str | None = (
        None  # without this none of the conditions holds: one comparison in place of many
    )

    @property
    def name(self) -> str:
        return self.contract.name


class _Builder:
    """Writes the layers one after the other."""

    def __init__(self, request: ValidationRequest, source: SourceColumns, functions: Functions) -> None:
        self.request = request
        self.feed: Feed = request.feed
        self.contract: Contract = request.contract
        self.facts = decoded_facts(request)
        self.source = source
        self.functions = functions
        self.positions = bind_columns(request, source.names)
        self.display_names = display_names(request.feed, source.names)
        self.columns = [
            _Column(column, request.feed_entity.mapping(column.name)) for column in self.contract.columns
        ]
        self.by_name = {column.name: column for column in self.columns}
        self.layers: list[list[str]] = []
        self.type_steps: list[list[str]] = []
        self.used_cells: set[int] = set()
        self.needs_token_key = False
        self.missing_optional: list[str] = []

    # ------------------------------------------------------------------ the file's columns

    def position(self, column: _Column, name: str) -> int | None:
        """Where the file has this column; None where it may be absent.

        Raises:
            DataRejectedError: when it must be there.
        """
        found = self.positions.get(name.strip().casefold())
        if found is not None:
            self.used_cells.add(found)
            return found
        mapped = column.name in self.request.feed_entity.columns
        has_default = self.default_of(column) is not None
        if has_default or (not mapped and not column.contract.required):
            return None
        near = difflib.get_close_matches(name.casefold(), list(map(str.casefold, self.display_names)), n=1)
        hint = f"the file has {near[0]!r}: " if near else ""
        raise DataRejectedError(
            f"{self.feed.where}: {self.facts.object_name!r} has no column {name!r}, which {self.contract.entity} "
            f"needs for {column.name!r}",
            remedy=f"{hint}map the column under `entities: columns:` of the feed, or give it a `constant` or "
            "`default`",
            rule="missing_column",
        )

    def default_of(self, column: _Column) -> str | None:
        if column.mapping.default is not None:
            return column.mapping.default
        if column.contract.default_setting is not None and self.feed.currency is not None:
            return self.feed.currency
        return column.contract.default

    def drift(self) -> tuple[DriftEvent, ...]:
        """How the file's columns differ from what the feed's contracts expect."""
        events = [DriftEvent("column_missing", name) for name in self.missing_optional]
        events += [DriftEvent("column_added", self.display_names[i]) for i in self.unknown_cells()]
        return tuple(events)

    def unknown_cells(self) -> list[int]:
        """Columns of the file that no entity of the feed takes."""
        taken: set[str] = set()
        for entity in self.feed.entities:
            for column in load_contracts()[entity.entity].columns:
                taken.update(
                    name.strip().casefold()
                    for name in entity.mapping(column.name).source_columns(column.name)
                )
            taken.update(name.strip().casefold() for name in (*entity.exclude, *entity.only))
        return [position for name, position in self.positions.items() if name not in taken]

    # ------------------------------------------------------------------ layers

    def layer(self, *expressions: str) -> None:
        """Add columns that the following layers can name."""
        if expressions:
            self.layers.append(list(expressions))

    def nested(self, final: str) -> str:
        text = "source"
        for layer in self.layers:
            text = f"(select *, {', '.join(layer)} from {text})"
        return f"select {final} from {text}"

    def cell(self, position: int) -> str:
        """The text of one cell; an empty one has no value."""
        text = f"c{position}"
        if self.facts.has_control_characters or self.facts.has_nul:
            text = f"regexp_replace({text}, {sql_text(CONTROL_PATTERN)}, '', 'g')"
        if self.facts.has_edge_spaces:
            text = f"trim({text}, ' ')"
        text = f"nullif({text}, '')"
        if self.feed.null_words:
            text = f"case when {any_of(text, self.feed.null_words)} then null else {text} end"
        return text

    def build(self) -> Program:
        for column in self.columns:
            self.locate(column)
        unknown = self.unknown_cells()
        drift = self.drift()
        exclude = self.filter_conditions()
        cells = sorted(self.used_cells | set(unknown))
        self.layer(*(f"{self.cell(i)} as k{i}" for i in cells))
        self.layer(*(f"{column.source} as r_{column.name}" for column in self.columns))
        self.layer(*(f"{self.contract_text(column)} as t_{column.name}" for column in self.columns))
        for column in self.columns:
            self.layer_of_type(column)
        self.flush_types()
        self.layer(*(f"{self.fault(column)} as f_{column.name}" for column in self.columns))
        header = self.header_condition()
        excluded = " or ".join([*(f"coalesce({condition}, false)" for condition in header), *exclude])
        row_fault = self.row_fault()
        self.layer(f"({excluded or 'false'}) as e_row", f"{row_fault} as s_row")
        first = ", ".join(f"f_{column.name}" for column in self.columns)
        self.layer(
            "case when s_row is null and e_row then true else false end as _excluded",
            f"case when s_row is not null then s_row when e_row then null else coalesce({first}) end as _rule",
        )
        final = self.final_columns(unknown, header)
        return Program(
            sql=self.nested(final),
            needs_token_key=self.needs_token_key,
            row_number_columns=tuple(c.contract.output_name for c in self.columns if c.mapping.row_number),
            sums=tuple(c.contract.output_name for c in self.columns if c.mapping.sum_over_key),
            numbers={
                c.contract.output_name: tuple(
                    self.contract.column(n).output_name for n in c.mapping.number_within
                )
                for c in self.columns
                if c.mapping.number_within
            },
            drift=drift,
            columns=self.display_names,
        )

    def locate(self, column: _Column) -> None:
        """Find where the column's text comes from."""
        mapping = column.mapping
        if column.contract.source == "feed_setting":
            setting = {
                "item_price": self.feed.item_price,
                "option_price": self.feed.option_price,
                "options": self.feed.options,
            }[column.contract.setting or "item_price"]
            column.source = sql_text(setting)
        elif mapping.constant is not None:
            column.source = sql_text(mapping.constant) if mapping.constant else "null"
        elif mapping.is_made:
            column.source = "null"
        elif mapping.compose or mapping.factors:
            separator = mapping.separator if mapping.compose else " x "
            cells = [self.position(column, name) for name in mapping.compose or mapping.factors]
            present = ", ".join(f"k{cell}" for cell in cells if cell is not None)
            column.source = f"nullif(concat_ws({sql_text(separator)}, {present}), '')" if present else "null"
        else:
            cell = self.position(column, mapping.column or column.name)
            if cell is None:
                if self.default_of(column) is None:
                    self.missing_optional.append(column.name)
                column.source = "cast(null as varchar)"
            else:
                column.source = f"k{cell}"
        if column.source == "null":
            column.source = "cast(null as varchar)"

    def contract_text(self, column: _Column) -> str:
        """The file's text in the contract's words: texts removed, words mapped, default filled in."""
        name, mapping = column.name, column.mapping
        text = f"r_{name}"
        if mapping.factors or mapping.is_made:
            return text
        text = self.without_removed(text, mapping)
        if mapping.map:
            text = self.mapped(text, mapping)
        if column.contract.is_identifier or (column.contract.pii == "none" and name in self.contract.key):
            if column.contract.type == "text":
                text = self.identifier(column, text)
        elif column.contract.type == "text" and not self.facts.is_ascii:
            garbled = f"regexp_matches(t_{name}, {sql_text(DOUBLE_ENCODED_PATTERN)})"
            column.notes.append((garbled, "double_encoded"))
            text = (
                f"case when {self.functions.byte_length(text)} > length({text}) "
                f"then {self.functions.nfc(text)} else {text} end"
            )
        default = self.default_of(column)
        return f"coalesce({text}, {sql_text(default)})" if default is not None else text

    @staticmethod
    def without_removed(text: str, mapping: ColumnMapping) -> str:
        for removed in mapping.remove:
            text = f"replace({text}, {sql_text(removed)}, '')"
        return f"nullif(trim({text}, ' '), '')" if mapping.remove else text

    @staticmethod
    def mapped(text: str, mapping: ColumnMapping) -> str:
        subject = lower_ascii(text) if mapping.ignore_case else text
        arms = []
        for word, target in mapping.map.items():
            given = word.lower() if mapping.ignore_case and word.isascii() else word
            arms.append(f"when {sql_text(given)} then {sql_text(target) if target else 'null'}")
        return f"case {subject} {' '.join(arms)} else {text} end"

    def identifier(self, column: _Column, text: str) -> str:
        """Two spellings of one id become one: normal form, no invisible characters, no blank words."""
        if not self.facts.is_ascii:
            clean = f"regexp_replace({self.functions.nfc(text)}, {sql_text(INVISIBLE_PATTERN)}, '', 'g')"
            clean = f"nullif(trim(replace({clean}, chr(160), ' '), ' '), '')"
            text = (
                f"case when {self.functions.byte_length(text)} > length({text}) then {clean} else {text} end"
            )
        clean = f"nullif(trim(regexp_replace({text}, {sql_text(ID_CONTROL_PATTERN)}, '', 'g'), ' '), '')"
        has_line_ends = self.facts.has_quoted_newline or self.facts.has_carriage_return
        if has_line_ends or self.facts.has_control_characters:
            text = clean
        elif self.facts.has_tabs:
            text = f"case when contains({text}, chr(9)) then {clean} else {text} end"
        longest = max(len(word) for word in BLANK_WORDS)
        # Short numbers are the usual short ids; comparing the first character sets them apart cheaply.
        no_digit = f"({text} < '0' or {text} > ':')"
        size = self.functions.byte_length(text)
        blank = f"{size} <= {longest} and {no_digit} and {any_of(f'upper({text})', BLANK_WORDS)}"
        column.notes.append((f"t_{column.name} is null and r_{column.name} is not null", "blank_word"))
        column.noted_where = f"v_{column.name} is distinct from r_{column.name}"
        return f"case when {blank} then null else {text} end"

    # ------------------------------------------------------------------ types

    def layer_of_type(self, column: _Column) -> None:
        """Queue the expressions that turn `t_` into `v_`, layer by layer."""
        kind = column.contract.type
        if column.mapping.is_made:
            self.type_steps.append([f"cast(null as varchar) as v_{column.name}"])
        elif column.mapping.factors:
            self.type_steps.append(self.product_steps(column))
        elif kind == "text":
            self.type_steps.append([f"{self.text_value(column)} as v_{column.name}"])
        elif kind == "decimal":
            self.type_steps.append(self.decimal_steps(column))
        elif kind == "integer":
            text = f"t_{column.name}"
            value = f"cast(try_cast({text} as decimal(38,2)) as bigint)"
            self.type_steps.append(
                [
                    f"case when regexp_matches({text}, {sql_text(INTEGER_PATTERN)}) then {value} end as v_{column.name}"
                ]
            )
        elif kind == "boolean":
            self.type_steps.append([f"{self.boolean_value(column)} as v_{column.name}"])
        elif kind == "date":
            self.type_steps.append(self.date_steps(column))
        else:
            self.type_steps.append(self.timestamp_steps(column))

    def flush_types(self) -> None:
        depth = max((len(steps) for steps in self.type_steps), default=0)
        for level in range(depth):
            self.layer(*(steps[level] for steps in self.type_steps if level < len(steps)))

    def text_value(self, column: _Column) -> str:
        contract, text = column.contract, f"t_{column.name}"
        if contract.pii != "none":
            return self.private_value(column)
        if contract.allowed:
            column.notes.append((f"v_{column.name} = '{UNMAPPED}'", "unmapped_word"))
            column.noted_where = None  # the file may hold this very word, which then did not change
            known = any_of(text, contract.allowed)
            return f"case when {known} then {text} when {text} is not null then '{UNMAPPED}' end"
        if contract.vocabulary == "iso_4217":
            usual = f"when {text} = {sql_text(self.feed.currency)} then {text} " if self.feed.currency else ""
            pattern = sql_text(CURRENCY_PATTERN)
            return (
                f"case {usual}when regexp_matches({text}, {pattern}) then {text} "
                f"when regexp_matches(upper({text}), {pattern}) then upper({text}) end"
            )
        is_ours = contract.source == "feed_setting" or column.mapping.constant is not None
        return text if is_ours else self.public_text(column)

    def private_value(self, column: _Column) -> str:
        """What may be kept of a column that the contract marks as private."""
        text = f"t_{column.name}"
        if column.contract.pii == "hash":
            self.needs_token_key = True
            return f"case when {text} is not null then {hmac_token(lower_ascii(text))} end"
        digits = f"regexp_replace({text}, '[^0-9]', '', 'g')"
        return f"case when length({digits}) >= 4 then right({digits}, 4) end"

    def public_text(self, column: _Column) -> str:
        """Free text loses card numbers and addresses; an id that is one becomes a token of it."""
        name, text = column.name, f"t_{column.name}"
        is_key = column.contract.is_identifier
        if is_key:
            self.needs_token_key = True
            # Other ids with a card number or an address in them become tokens too: cut, two of them could be one.
            digits = f"regexp_replace({text}, '[ -]', '', 'g')"
            is_whole = f"regexp_matches({text}, {sql_text(WHOLE_CARD_PATTERN)})"
            whole = f"concat('card_', left({hmac_token(digits)}, 16), '_', right({digits}, 4))"
            token = (
                f"case when {is_whole} then {whole} else concat('card_', left({hmac_token(text)}, 16)) end"
            )
            is_card = (
                f"{self.functions.byte_length(text)} >= 13 and regexp_matches({text}, {sql_text(DIGIT_RUN_PATTERN)}) "
                f"and {holds_card_of_a_scheme(text, self.functions)}"
            )
            card = f"when {is_card} then {token} " if column.mapping.card_check else ""
            address = (
                f"when contains({text}, '@') and (regexp_matches({text}, {sql_text(WHOLE_EMAIL_PATTERN)}) "
                f"or regexp_matches({text}, {sql_text(EMAIL_PATTERN)})) "
            )
            address += f"then {hmac_token(lower_ascii(text))} "
            if not self.facts.has_at_sign:
                address = ""
            value = f"case {card}{address}else {text} end" if card or address else text
        elif not column.mapping.card_check:
            value = text
        else:
            value = mask_card_numbers(text, self.functions)
            if self.facts.has_at_sign:
                value = mask_emails(f"({value})")
        if value != text:
            changed = f"v_{name} <> {text}"
            column.notes.append((f"{changed} and contains({text}, '@')", "email_masked"))
            column.notes.append((f"{changed} and not contains({text}, '@')", "card_number_masked"))
        return value

    def number_text(self, text: str) -> str:
        """A number in the feed's notation, written with a decimal point."""
        mark, group = self.feed.decimal_mark, self.feed.thousands_mark
        if mark == "." and not group:
            return text
        plain = text if mark == "." else f"replace({text}, ',', '.')"
        foreign = f"contains({text}, '.')" if mark == "," else "false"
        if not group:
            return f"case when not {foreign} then {plain} end"
        separator = "[.]" if group == "." else f"[{group}]"
        grouped = rf"^[+-]?[0-9]{{1,3}}({separator}[0-9]{{3}})+([{mark}][0-9]*)?\z"
        joined = f"replace({text}, {sql_text(group)}, '')"
        joined = joined if mark == "." else f"replace({joined}, ',', '.')"
        return (
            f"case when contains({text}, {sql_text(group)}) "
            f"then case when regexp_matches({text}, {sql_text(grouped)}) then {joined} end "
            f"when not {foreign} then {plain} end"
        )

    def decimal_steps(self, column: _Column) -> list[str]:
        name, cents = column.name, column.mapping.unit == "cents"
        text = f"t_{name}"
        steps = []
        number = self.number_text(text)
        if number != text:
            steps.append(f"{number} as n_{name}")
            text = f"n_{name}"
        guard = CENTS_PATTERN if cents else DECIMAL_PATTERN
        value = f"try_cast({text} as decimal(18,4))"
        if column.mapping.round:
            guard = ROUNDED_PATTERN
            fine = f"regexp_matches({text}, {sql_text(FINE_PATTERN)})"
            column.notes.append((fine, "rounded"))
        if cents:
            wide = "decimal(28,12)" if column.mapping.round else "decimal(20,2)"
            value = f"try_cast(try_cast({text} as {wide}) * 0.01 as decimal(18,4))"
        matches = f"regexp_matches({text}, {sql_text(guard)})"
        if not cents:
            # "12.34" begins "12.3400", which is how the value is written: that test costs half of what a pattern does.
            steps.append(f"{value} as a_{name}")
            value = f"a_{name}"
            matches = f"starts_with(cast({value} as varchar), {text}) or {matches}"
        if column.mapping.negate:
            value = f"-{value}"
        steps.append(f"case when {matches} then {value} end as v_{name}")
        return steps

    def product_steps(self, column: _Column) -> list[str]:
        """The product of some cells; which of the factors is bad is found out later."""
        mapping = column.mapping
        cells = [self.positions[name.strip().casefold()] for name in mapping.factors]
        numbers = [f"n_{column.name}_{i}" for i in range(len(cells))]
        texts = [
            f"{self.number_text(self.without_removed(f'k{cell}', mapping))} as {number}"
            for cell, number in zip(cells, numbers, strict=True)
        ]
        guard = ROUNDED_PATTERN if mapping.round else DECIMAL_PATTERN
        good = " and ".join(
            f"coalesce(regexp_matches({number}, {sql_text(guard)}), false)" for number in numbers
        )
        if mapping.round:
            fine = " or ".join(f"regexp_matches({number}, {sql_text(FINE_PATTERN)})" for number in numbers)
            column.notes.append((fine, "rounded"))
        factors = [f"try_cast({number} as decimal(18,4))" for number in numbers]
        product = factors[0]
        for factor in factors[1:]:
            product = f"round(try_cast({product} as decimal(20,4)) * {factor}, 4)"
        if mapping.unit == "cents":
            product = f"round(try_cast({product} as decimal(30,4)) * 0.01, 4)"
        sign = "-" if mapping.negate else ""
        default = self.default_of(column) if mapping.product else None
        otherwise = ""
        if default is not None:
            otherwise = (
                f" when {self.is_factor_empty(column)} then try_cast({sql_text(default)} as decimal(18,4))"
            )
        return [
            ", ".join(texts),
            f"case when {good} then {sign}try_cast({product} as decimal(18,4)){otherwise} end as v_{column.name}",
        ]

    def is_factor_empty(self, column: _Column) -> str:
        cells = [self.positions[name.strip().casefold()] for name in column.mapping.factors]
        return "(" + " or ".join(f"k{cell} is null" for cell in cells) + ")"

    @staticmethod
    def boolean_value(column: _Column) -> str:
        word = f"lower(t_{column.name})"
        return (
            f"case when {any_of(word, TRUE_WORDS)} then true when {any_of(word, FALSE_WORDS)} then false end"
        )

    def rearranged(self, text: str, layout: DateFormat) -> str:
        """ISO text of a text that matches a declared format (lower-cased before)."""
        groups = layout.groups
        month = next(letter for letter in ("m", "b", "B") if letter in groups)
        clock = ""
        hour = groups.get("H") or groups.get("I")
        if hour:
            minute = f"\\{groups['M']}" if "M" in groups else "00"
            second = f":\\{groups['S']}" if "S" in groups else ""
            fraction = f".\\{groups['f']}" if "f" in groups else ""
            clock = f" \\{hour}:{minute}{second}{fraction}"

        def arranged(year: str) -> str:
            order = f"{year}-\\{groups[month]}-\\{groups['d']}{clock}"
            return f"regexp_replace({text}, {sql_text(layout.pattern)}, {sql_text(order)})"

        if "Y" in groups:
            iso = arranged(f"\\{groups['Y']}")
        else:
            short = f"regexp_extract({text}, {sql_text(layout.pattern)}, {groups['y']})"
            old, new = f"19\\{groups['y']}", f"20\\{groups['y']}"
            iso = f"case when {short} >= '69' then {arranged(old)} else {arranged(new)} end"
        if month != "m":
            for number, word in enumerate(MONTHS, start=1):
                spelled = word if month == "B" else word[:3]
                iso = f"replace({iso}, '-{spelled}-', '-{number}-')"
        return iso

    def date_steps(self, column: _Column) -> list[str]:
        name, text = column.name, f"t_{column.name}"
        layout = column.mapping.date_format or self.feed.date_format
        if layout is None:
            guard = f"regexp_matches({text}, {sql_text(DATE_PATTERN)})"
            value = f"case when {guard} then try_cast(left({text}, 10) as date) end"
        else:
            compiled = compile_format(layout)
            lowered = f"lower({text})"
            value = (
                f"cast({self.counted_days(text, compiled)} as date)"
                if compiled.day_zero is not None
                else f"case when regexp_matches({lowered}, {sql_text(compiled.pattern)}) "
                f"then try_cast({self.rearranged(lowered, compiled)} as date) end"
            )
        sentinel = " or ".join(f"d_{name} = date '{day}'" for day in SENTINEL_DAYS)
        if layout is None:
            sentinel += f" or left({text}, 10) = '0000-00-00'"
        column.notes.append((f"z_{name}", "sentinel_date"))
        return [
            f"{value} as d_{name}",
            f"coalesce({sentinel}, false) as z_{name}",
            f"case when not z_{name} then d_{name} end as v_{name}",
        ]

    def timestamp_steps(self, column: _Column) -> list[str]:
        """Guard → local time and offset → UTC."""
        name, text = column.name, f"t_{column.name}"
        layout = column.mapping.timestamp_format or self.feed.timestamp_format
        compiled = compile_format(layout) if layout else None
        shift = f"case when o_{name} <> 0 then l_{name} - o_{name} * interval '1 minute' else l_{name} end"
        column.notes.append((f"z_{name}", "sentinel_date"))
        sentinel = " or ".join(f"cast(l_{name} as date) = date '{day}'" for day in SENTINEL_DAYS)
        sentinel += f" or u_{name} = timestamp '1970-01-01 00:00:00'"
        if compiled is None:
            sentinel += f" or left({text}, 10) = '0000-00-00'"
            local, offset = self.iso_parts(name)
        elif compiled.epoch_scale is not None:
            local, offset = self.epoch_parts(text, compiled), "0"
        elif compiled.day_zero is not None:
            local, offset = self.counted_days(text, compiled), "cast(null as integer)"
        else:
            local, offset = self.declared_parts(text, compiled)
        if compiled is None:
            steps = [
                f"regexp_matches({text}, {sql_text(TIMESTAMP_PATTERN)}) as g_{name}",
                f"{self.iso_offset_length(name)} as w_{name}",
                f"{local} as l_{name}, {offset} as o_{name}",
            ]
        else:
            steps = [f"{local} as l_{name}, {offset} as o_{name}"]
        zone = self.feed.naive_timezone
        never_naive = compiled is not None and (compiled.epoch_scale is not None or "z" in compiled.groups)
        if zone in {"UTC", "Etc/UTC"} or never_naive:
            steps.append(f"{shift} as u_{name}")
        else:
            literal = sql_text(zone)
            forward = self.functions.utc_of_local(f"l_{name}", literal)
            back = self.functions.local_of_utc(f"q_{name}", literal)
            steps.append(f"case when o_{name} is null then {forward} else {shift} end as q_{name}")
            # A local time that was skipped does not come back; one that happened twice is the earlier one.
            skipped = f"o_{name} is null and {back} <> l_{name} as h_{name}"
            sign = "-" if self.functions.takes_later_of_two else "+"
            others = [f"q_{name} {sign} interval '{minutes} minutes'" for minutes in overlap_minutes(zone)]
            twice = [
                f"o_{name} is null and {self.functions.local_of_utc(other, literal)} = l_{name}"
                for other in others
            ]
            if self.functions.takes_later_of_two:
                arms = "".join(
                    f"when {same} then {other} " for same, other in zip(twice, others, strict=True)
                )
                earliest = f"case {arms}else q_{name} end" if arms else f"q_{name}"
                steps.append(f"{earliest} as u_{name}, {skipped}")
                column.notes.append((f"u_{name} <> q_{name}", "ambiguous_local_time"))
            else:
                is_twice = " or ".join(f"({same})" for same in twice) or "false"
                steps.append(f"q_{name} as u_{name}, {skipped}, {is_twice} as y_{name}")
                column.notes.append((f"y_{name}", "ambiguous_local_time"))
        steps.append(f"coalesce({sentinel}, false) as z_{name}")
        value = f"u_{name}"
        if self.has_gap_test(column) and not self.is_day_only(column):
            value = f"case when h_{name} then null else {value} end"
        steps.append(f"case when not z_{name} then {value} end as v_{name}")
        return steps

    def has_gap_test(self, column: _Column) -> bool:
        layout = column.mapping.timestamp_format or self.feed.timestamp_format
        compiled = compile_format(layout) if layout else None
        fixed = compiled is not None and (compiled.epoch_scale is not None or "z" in compiled.groups)
        return self.feed.naive_timezone not in {"UTC", "Etc/UTC"} and not fixed

    def is_day_only(self, column: _Column) -> bool:
        """A day without a clock time starts at its first instant, also where midnight was skipped."""
        layout = column.mapping.timestamp_format or self.feed.timestamp_format
        return layout is not None and not compile_format(layout).has_time

    @staticmethod
    def iso_offset_length(name: str) -> str:
        """Characters that the offset takes at the end of the text; -3 for the word UTC, 0 without any.

        The two usual shapes are told apart first, by the cheapest tests.
        """
        text = f"t_{name}"
        arms = [
            f"when ends_with({text}, 'Z') then 1",
            f"when length({text}) = 19 and substr({text}, 17, 1) = ':' then 0",
            f"when ends_with({text}, 'z') then 1",
            f"when ends_with({text}, 'UTC') then -3",
        ]
        for width in (6, 5, 3):
            mark = f"substr({text}, length({text}) - {width - 1}, 1)"
            arms.append(f"when length({text}) > 16 and ({mark} = '+' or {mark} = '-') then {width}")
        return f"case when g_{name} then case {' '.join(arms)} else 0 end end"

    @staticmethod
    def iso_parts(name: str) -> tuple[str, str]:
        text, width = f"t_{name}", f"w_{name}"
        local = (
            f"case when {width} = 0 then try_cast({text} as timestamp) when {width} is not null "
            f"then try_cast(left({text}, length({text}) - abs({width})) as timestamp) end"
        )
        mark = f"right({text}, {width})"
        minutes = (
            f"cast(substr({mark}, 2, 2) as integer) * 60 "
            f"+ case when {width} > 3 then cast(right({text}, 2) as integer) else 0 end"
        )
        signed = f"case when left({mark}, 1) = '-' then -({minutes}) else {minutes} end"
        return local, f"case when {width} = 1 or {width} = -3 then 0 when {width} > 1 then {signed} end"

    @staticmethod
    def counted_days(text: str, layout: DateFormat) -> str:
        """First moment of the day with this number, as a local timestamp."""
        days = f"cast(regexp_extract({text}, {sql_text(layout.pattern)}, 1) as integer)"
        moment = f"timestamp '{layout.day_zero} 00:00:00' + {days} * interval '1 day'"
        return f"case when regexp_matches({text}, {sql_text(layout.pattern)}) then {moment} end"

    @staticmethod
    def epoch_parts(text: str, layout: DateFormat) -> str:
        scale = layout.epoch_scale or 1
        number = f"cast({text} as bigint)"
        seconds = number if scale == 1 else f"({number} // {scale})"
        fraction = (
            "" if scale == 1 else f" + ({number} % {scale}) * {1_000_000 // scale} * interval '1 microsecond'"
        )
        moment = (
            f"timestamp '1970-01-01 00:00:00' + ({seconds} // 86400) * interval '1 day' "
            f"+ ({seconds} % 86400) * interval '1 second'{fraction}"
        )
        # Beyond the year 9999 nothing is a time; the test also keeps the day count within range.
        sane = f"abs({seconds}) < 253402300800"
        return (
            f"case when regexp_matches({text}, {sql_text(layout.pattern)}) "
            f"then case when {sane} then {moment} end end"
        )

    def declared_parts(self, text: str, layout: DateFormat) -> tuple[str, str]:
        lowered = f"lower({text})"
        matches = f"regexp_matches({lowered}, {sql_text(layout.pattern)})"
        iso = self.rearranged(lowered, layout)
        local = f"try_cast({iso} as timestamp)"
        if "I" in layout.groups:
            half = f"left(regexp_extract({lowered}, {sql_text(layout.pattern)}, {layout.groups['p']}), 1)"
            clock = f"regexp_extract({lowered}, {sql_text(layout.pattern)}, {layout.groups['I']})"
            hour = f"try_cast({clock} as integer)"
            add = (
                f"case when {half} = 'p' and {hour} < 12 then 12 "
                f"when {half} = 'a' and {hour} = 12 then -12 else 0 end"
            )
            local = f"case when {hour} between 1 and 12 then {local} + {add} * interval '1 hour' end"
        elif "H" in layout.groups:
            # Engines take 24:00 for the next day; here it is no time.
            hour = f"regexp_extract({lowered}, {sql_text(layout.pattern)}, {layout.groups['H']})"
            local = f"case when {hour} <> '24' then {local} end"
        offset = "cast(null as integer)"
        if "z" in layout.groups:
            zone = f"regexp_extract({lowered}, {sql_text(layout.pattern)}, {layout.groups['z']})"
            size = f"cast(substr({zone}, 2, 2) as integer) * 60 + cast(right({zone}, 2) as integer)"
            offset = (
                f"case when {matches} then case when {zone} = 'z' then 0 "
                f"when left({zone}, 1) = '-' then -({size}) else {size} end end"
            )
        return f"case when {matches} then {local} end", offset

    # ------------------------------------------------------------------ faults

    def fault(self, column: _Column) -> str:
        """The rule that this column breaks, or null. Asked in this order: missing, unreadable, out of bounds."""
        contract, name = column.contract, column.name
        if contract.source == "feed_setting" or column.mapping.is_made or column.mapping.is_absent:
            return "cast(null as varchar)"
        text, value = f"t_{name}", f"v_{name}"
        arms = self.sound(column)
        if contract.required:
            arms.append(f"when {text} is null then 'missing_value'")
        elif contract.required_when is not None:
            other = contract.required_when
            arms.append(
                f"when {text} is null and v_{other.column} = {sql_text(other.equals)} then 'missing_value'"
            )
        if contract.type != "text":
            arms.extend(self.unreadable(column))
            arms.extend(self.bounds(column))
        elif column.mapping.constant is None:
            arms.extend(self.unfit_text(column))
        if contract.at_most_product_of:
            product = " * ".join(
                f"cast(v_{factor} as decimal(20,4))" if i == 0 else f"v_{factor}"
                for i, factor in enumerate(contract.at_most_product_of)
            )
            arms.append(
                f"when {value} > 0 then case when {value} > round({product}, 4) "
                "then 'discount_exceeds_amount' end"
            )
        if contract.not_after_arrival:
            arms.append(f"when {value} > {self.latest_moment(contract.type)} then 'future_date'")
        return f"case {' '.join(arms)} end" if arms else "cast(null as varchar)"

    @staticmethod
    def sound(column: _Column) -> list[str]:
        """What nearly every number is, asked first: the arms behind it are then left to few rows."""
        contract, value = column.contract, f"v_{column.name}"
        tests = [f"not {test}" for test in _bounds_of(column)]
        if not tests:
            return []
        if contract.at_most_product_of:
            tests.append(f"{value} = 0")  # most lines have no discount
        return [f"when {' and '.join(tests)} then null"]

    def unfit_text(self, column: _Column) -> list[str]:
        text, value, longest = f"t_{column.name}", f"v_{column.name}", self.facts.longest_line_bytes
        arms = []
        if longest is None or longest > MAXIMUM_FIELD_BYTES or self.facts.has_quoted_newline:
            arms.append(
                f"when {self.functions.byte_length(text)} > {MAXIMUM_FIELD_BYTES} then 'field_too_large'"
            )
        if column.contract.vocabulary is not None:
            arms.append(f"when {text} is not null and {value} is null then 'unknown_currency'")
        return arms

    def latest_moment(self, kind: str) -> str:
        lineage = self.request.lineage
        arrival = lineage.judged_arrival or lineage.arrived_at
        latest = (arrival + FUTURE_TOLERANCE).astimezone(UTC).replace(tzinfo=None)
        if kind == "date":
            return f"date '{latest.date().isoformat()}'"
        return f"timestamp '{latest.isoformat(sep=' ')}'"

    def unreadable(self, column: _Column) -> list[str]:
        contract, name = column.contract, column.name
        text, value = f"t_{name}", f"v_{name}"
        unread = f"when {text} is not null and {value} is null then"
        if contract.type in {"decimal", "integer"}:
            number = text
            if column.mapping.factors:
                # A sum without one of its parts would be wrong; a product without a factor has no value.
                needed = bool(column.mapping.sum_over_key) or (
                    contract.required and self.default_of(column) is None
                )
                empty = f"when {value} is null and {self.is_factor_empty(column)} then "
                return [empty + ("'missing_value'" if needed else "null"), f"{unread} 'not_a_number'"]
            if contract.type == "decimal" and self.number_text(text) != text:
                number = f"n_{name}"
            plain = f"regexp_matches({number}, {sql_text(PLAIN_NUMBER_PATTERN)})"
            decimals = 2 if column.mapping.unit == "cents" else 4
            fine = sql_text(rf"[.][0-9]{{{decimals}}}[0-9]*[1-9]")
            finer = "not_an_integer" if contract.type == "integer" else "too_many_decimals"
            if contract.type == "integer":
                fine = sql_text(r"[.][0-9]*[1-9]")
            otherwise = "not_an_integer" if contract.type == "integer" else "not_a_number"
            too_long = f"case when regexp_matches({number}, {fine}) then '{finer}' else 'out_of_range' end"
            if column.mapping.round:
                too_long = "'out_of_range'"
            return [
                f"{unread} case "
                f"when regexp_matches(lower({text}), {sql_text(NOT_FINITE_PATTERN)}) then 'not_finite' "
                f"when {plain} then {too_long} else '{otherwise}' end"
            ]
        if contract.type == "boolean":
            return [f"{unread} 'not_a_boolean'"]
        blocking = f"when z_{name} then " + ("'sentinel_date'" if contract.required else "null")
        if contract.type == "timestamp" and self.has_gap_test(column) and not self.is_day_only(column):
            return [blocking, f"when h_{name} then 'nonexistent_local_time'", f"{unread} 'not_a_timestamp'"]
        return [blocking, f"{unread} 'not_a_{contract.type}'"]

    @staticmethod
    def bounds(column: _Column) -> list[str]:
        tests = _bounds_of(column)
        return [f"when {' or '.join(tests)} then 'out_of_range'"] if tests else []

    def row_fault(self) -> str:
        faults = list(self.source.row_faults)
        if self.facts.has_nul:
            joined = ", ".join(f"c{i}" for i in range(len(self.source.names)))
            joined += "".join(f", x{i}" for i in range(self.source.overflow))
            faults.insert(0, (f"contains(concat({joined}), chr(0))", "nul_byte"))
        if not faults:
            return "cast(null as varchar)"
        return "case " + " ".join(f"when {condition} then '{rule}'" for condition, rule in faults) + " end"

    def header_condition(self) -> list[str]:
        """Every cell repeats the name of its column."""
        if not self.source.header_repeats:
            return []
        tests = [
            f"{f'trim(c{i})' if self.facts.has_edge_spaces else f'c{i}'} = {sql_text(name.strip())}"
            for i, name in enumerate(self.source.names)
        ]
        # The first cell decides nearly always; the others are compared only behind it.
        return [f"case when {tests[0]} then {' and '.join(tests)} else false end"]

    def filter_conditions(self) -> list[str]:
        """When the feed leaves a row out: conditions that are never null, one per column of a filter."""
        entity = self.request.feed_entity
        left_out = [
            matches_any(self.filtered_text("exclude", name), words) for name, words in entity.exclude.items()
        ]
        kept = [matches_any(self.filtered_text("only", name), words) for name, words in entity.only.items()]
        return left_out + [f"not {condition}" for condition in kept]

    def filtered_text(self, key: str, name: str) -> str:
        """The text that a filter looks at: of a contract column (after mapping), else of a column of the file.

        Raises:
            DataRejectedError: when there is no such column.
        """
        folded = name.strip().casefold()
        column = self.by_name.get(folded)
        if column is not None and column.contract.pii == "none":
            return f"t_{folded}"
        position = self.positions.get(folded)
        if position is None:
            raise DataRejectedError(
                f"{self.feed.where}: `{key}` names {name!r}, which is no column of {self.contract.entity} "
                f"and not in {self.facts.object_name!r}",
                remedy=f"correct the name under `{key}` in the feed file",
                rule="missing_column",
            )
        self.used_cells.add(position)
        return f"k{position}"

    # ------------------------------------------------------------------ the result

    def for_people(self, name: str, text: str) -> None:
        """Add column `name`: a text fit to be read by people, without card numbers, addresses, NUL bytes.

        Each step is a layer of its own, because it mentions the step before several times.
        """
        self.layer(f"replace(replace({text}, chr(0), ''), '\\u0000', '') as {name}_0")
        self.layer(f"{mask_card_numbers(f'{name}_0', self.functions)} as {name}_1")
        self.layer(f"{mask_emails(f'{name}_1')} as {name}")

    def final_columns(self, unknown: list[int], header: list[str]) -> str:
        columns = [f"v_{c.name} as {sql_name(c.contract.output_name)}" for c in self.columns]
        broken = [f"when f_{c.name} is not null then '{c.name}'" for c in self.columns]
        column_fault = "_rule is not null and s_row is null"
        named = f"case when {column_fault} then case {' '.join(broken)} end end"
        pairs = ", ".join(
            f"case when f_{c.name} is not null then concat('{c.name}:', f_{c.name}) end" for c in self.columns
        )
        others = f"nullif(regexp_replace(concat_ws(' ', {pairs}), '^[^ ]+ ?', ''), '')"
        raw = " ".join(
            f"when f_{c.name} is not null then {self.raw_value(c)}"
            for c in self.columns
            if c.contract.source == "file" and not c.mapping.is_made
        )
        self.for_people("p_value", f"case when {column_fault} then case {raw} end end")
        self.for_people("p_row", f"case when _rule is not null then {self.raw_row()} end")
        rescued = "cast(null as varchar)"
        if unknown:
            self.for_people("p_rescued", self.rescued(unknown))
            rescued = "p_rescued"
        columns += [
            "_rule",
            f"{named} as _column",
            "p_value as _raw_value",
            f"case when {column_fault} then {others} end as _other_rules",
            "p_row as _raw_row",
            "_excluded",
            f"{rescued} as _rescued",
            f"{self.notes(header)} as _notes",
            *self.source.passed,
        ]
        return ", ".join(columns)

    @staticmethod
    def raw_value(column: _Column) -> str:
        if column.contract.pii != "none":
            return f"case when r_{column.name} is not null then '[private]' end"
        return f"left(r_{column.name}, 1000)"

    def private_cells(self) -> set[int]:
        """Columns of the file that some entity of the feed reads as private."""
        cells: set[int] = set()
        for entity in self.feed.entities:
            for column in load_contracts()[entity.entity].columns:
                if column.pii == "none":
                    continue
                for name in entity.mapping(column.name).source_columns(column.name):
                    position = self.positions.get(name.strip().casefold())
                    if position is not None:
                        cells.add(position)
        return cells

    def raw_row(self) -> str:
        """JSON of the row as it stood in the file; private cells hidden."""
        private = self.private_cells()
        fields = []
        for position, name in enumerate(self.display_names):
            text = f"left(c{position}, {MAXIMUM_CELL_KEPT})"
            if position in private:
                text = f"case when c{position} <> '' then '[private]' else c{position} end"
            fields.append(f"{sql_name(name)} := {text}")
        surplus = [
            f"{sql_name(f'_surplus_{number + 1}')} := left(x{number}, {MAXIMUM_CELL_KEPT})"
            for number in range(self.source.overflow)
        ]
        arms = ""
        if private:
            # In a row with too few or too many cells any of them may hold what belongs into a private column.
            hidden = [f"{sql_name(name)} := '[private]'" for name in self.display_names]
            arms = f"when s_row is not null then to_json(struct_pack({', '.join(hidden)})) "
        elif surplus:
            arms = f"when x0 is not null then to_json(struct_pack({', '.join(fields + surplus)})) "
        whole = f"to_json(struct_pack({', '.join(fields)}))"
        return f"cast(case {arms}else {whole} end as varchar)" if arms else f"cast({whole} as varchar)"

    def rescued(self, unknown: list[int]) -> str:
        some = " or ".join(f"k{position} is not null" for position in unknown)
        fields = ", ".join(f"{sql_name(self.display_names[i])} := k{i}" for i in unknown)
        return f"case when {some} then cast(to_json(struct_pack({fields})) as varchar) end"

    def notes(self, header: list[str]) -> str:
        found = [
            (condition, f"{column.name}:{note}")
            for column in self.columns
            for condition, note in column.notes
        ]
        arms = ", ".join(f"case when {condition} then '{note}' end" for condition, note in found)
        repeated = f"when _excluded and ({header[0]}) then 'repeated_header' " if header else ""
        if not found:
            return f"case {repeated}end" if repeated else "cast(null as varchar)"
        tests = [
            test
            for column in self.columns
            for test in ([column.noted_where] if column.noted_where else [one for one, _ in column.notes])
        ]
        some = " or ".join(f"coalesce({test}, false)" for test in tests)
        return (
            f"case {repeated}when _excluded or _rule is not null then null "
            f"when {some} then nullif(concat_ws(' ', {arms}), '') end"
        )


def _bounds_of(column: _Column) -> list[str]:
    """What a value out of bounds fulfils, one test a bound; none of them is true of a null."""
    contract, value = column.contract, f"v_{column.name}"
    tests = []
    if contract.minimum is not None:
        tests.append(f"{value} {'<=' if contract.minimum_exclusive else '<'} {_number(contract.minimum)}")
    if contract.maximum is not None:
        tests.append(f"{value} {'>=' if contract.maximum_exclusive else '>'} {_number(contract.maximum)}")
    return tests


def _number(bound: Decimal) -> str:
    return f"cast({bound:f} as decimal(18,4))"
