"""Feeds: where one company's files are and how they are written. One YAML file per company, no code.

Scalars of a feed file are read as the text that stands there (`007` stays `007`, `yes` stays `yes`); the
models below say what becomes a number or a switch. Unknown keys are errors.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ingestion.contract import Contract, load_contracts
from ingestion.currencies import ISO_4217
from ingestion.date_formats import compile_format
from ingestion.locations import SCHEMES, FolderLocation, read_location
from ingestion.object_names import safe_name
from settings.errors import ConfigurationError, DataRejectedError
from settings.home import Home

FEEDS_VARIABLE = "TILLHOUSE_FEEDS"
GUIDE = "docs/guides/feed-files.md"
UNMAPPED = "unmapped"
SOURCES = ("column", "constant", "compose", "row_number", "number_within", "product", "sum_over_key")

M = TypeVar("M", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnMapping(_Model):
    """How one contract column is made from the file.

    At most one source is set: one of `SOURCES`. Without any, the column of the contract's own name is meant,
    and the other keys say how to read it.

    Attributes:
        column: name of a column of the file.
        constant: the same text in every row; empty for a column that the company does not have.
        compose: columns of the file, joined with `separator`; empty ones are left out.
        row_number: an id made of the delivery's content hash and the row's number.
        number_within: an id made of these columns of the contract and the row's number among all rows of the
            file that agree in them, whichever the entity leaves out: entities of one file agree about it.
        product: the product of these columns of the row, rounded to 4 decimals, half away from zero.
        sum_over_key: the sum, over the rows with the same key, of such products.
        unit: `cents` for whole numbers of hundredths.
        negate: the sign of the number is turned around.
        round: decimals beyond the fourth are rounded, half away from zero, instead of refused.
        map: the file's word → the contract's word; an empty target means no value. A word that is not
            listed stays as it is.
        ignore_case: of the words in `map` (ASCII letters).
        default: text for an empty cell or a column that the file does not have.
        remove: texts that are taken out of the cell before it is read ("$").
        timestamp_format, date_format: as of the feed, for this column alone.
        card_check: `false` for ids that are known not to be card numbers although they look like one
            (13-digit order numbers).
    """

    column: str | None = None
    constant: str | None = None
    compose: tuple[str, ...] = ()
    separator: str = " "
    row_number: bool = False
    number_within: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    sum_over_key: tuple[str, ...] = ()
    unit: Literal["units", "cents"] = "units"
    negate: bool = False
    round: bool = False
    map: Mapping[str, str] = Field(default_factory=dict)
    ignore_case: bool = False
    default: str | None = None
    remove: tuple[str, ...] = ()
    timestamp_format: str | None = None
    date_format: str | None = None
    card_check: bool = True

    @property
    def factors(self) -> tuple[str, ...]:
        """Columns of the file that are multiplied."""
        return self.product or self.sum_over_key

    @property
    def is_made(self) -> bool:
        """The value comes from the row's place in the file; no cell says it."""
        return self.row_number or bool(self.number_within)

    @property
    def is_absent(self) -> bool:
        """The company does not have this column."""
        return self.constant == ""

    def source_columns(self, contract_name: str) -> tuple[str, ...]:
        """Names of the file's columns that this mapping reads, as spelled in the feed file."""
        if self.constant is not None or self.is_made:
            return ()
        return self.compose or self.factors or (self.column or contract_name,)


class FeedEntity(_Model):
    """One entity that a feed's files hold.

    Attributes:
        entity: name of the contract, "store.orders".
        columns: contract column → where it comes from. Columns that are not mentioned bind by name.
        exclude: contract or file column → words; rows with one of them are counted and left out. `*` in a
            word stands for any characters, an empty word for an empty cell.
        only: likewise; rows without one of the words, in any of the columns, are counted and left out.
    """

    entity: str
    columns: Mapping[str, ColumnMapping] = Field(default_factory=dict)
    exclude: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)

    def mapping(self, contract_column: str) -> ColumnMapping:
        """The column's mapping; without one, it binds by its own name."""
        return self.columns.get(contract_column) or ColumnMapping()


class DeliveryTime(_Model):
    """The delivery time in a file's name: `pattern` finds it (first group), `format` reads it (strptime)."""

    pattern: str
    format: str

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        return _pattern_with_group(pattern)


class QuarantineThreshold(_Model):
    """A file is rejected whole when its bad rows are more than `rows` AND more than `share` of all."""

    share: float = Field(default=0.01, ge=0, le=1)
    rows: int = Field(default=100, ge=0)


class Trailer(_Model):
    """The last line of a file that states its number of data rows: the pattern's first group."""

    pattern: str

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        return _pattern_with_group(pattern)


class Manifest(_Model):
    """A JSON file beside the data file: its name + `suffix`; `rows`, `sha256`, `delivered_at` name keys of it."""

    suffix: str = ".manifest.json"
    rows: str = "rows"
    sha256: str = "sha256"
    delivered_at: str = "delivered_at"


class TableSource(_Model):
    """A table that is read bit by bit: rows whose watermark is beyond the last one that was loaded.

    Attributes:
        name: `table` or `schema.table`.
        columns: those that are read; all of the table without.
        watermark: a column that a change of the row raises: a timestamp, a date or a whole number.
        overlap: how far below the last watermark is read again, since a row may be committed after a later one:
            "15 minutes", "1 day"; for numbers, "1000".
    """

    name: str = Field(pattern=r"^[^.\s\x00]+(\.[^.\s\x00]+)?\z")
    columns: tuple[str, ...] = ()
    watermark: str = Field(min_length=1)
    overlap: str = Field(pattern=r"^[0-9]{1,9}( (second|minute|hour|day)s?)?\z")


# What a table gives is written by us, in one way; these settings have nothing to say about it.
SETTINGS_OF_FILES = (
    "glob", "format", "delimiter", "quote", "encoding", "header", "column_names", "timestamp_format", "date_format",
    "decimal_mark", "thousands_mark", "delivery_time", "delivery_mode", "same_name", "trailer", "manifest",
)  # fmt: skip


class Feed(_Model):
    """One feed: one kind of file of one company.

    Attributes:
        source_path: the feed file that this feed was read from.
        location: absolute URI once loaded: `file:///...`, `s3://...`, `postgres://...`.
        table: of a database: what is read of it.
        glob: of object names below the location.
        format: `csv`, `whitespace` (runs of blanks and tabs), `jsonl` or `parquet`. Compression is found out
            from the content.
        delimiter, quote, encoding: of csv; `quote: ""` where quotes have no meaning.
        header: whether the first line holds the names; otherwise `column_names` do.
        business_timezone: of business dates. naive_timezone: of timestamps without an offset.
        currency: of rows that do not state one.
        timestamp_format, date_format: one format (strptime directives); ISO 8601 without.
        decimal_mark, thousands_mark: of numbers.
        null_words: cells that mean "no value" in every column (`NULL`).
        delivery_time: where the name states when the file was delivered.
        delivery_mode: `append` (new and changed things) or `full_extract` (all that exists).
        same_name: a changed file under the same name is a `new_delivery` or `replace`s the former one.
        required: without it the day is not published.
        allow_empty: a file with a header alone is no reason for a warning.
        item_price, option_price: whether a restaurant price is per unit or the line's total.
        options: a newer delivery that names a line replaces all its options, or appends to them.
        drift: `freeze` rejects files with new or missing columns.
    """

    company: str = Field(min_length=1)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*\z", max_length=60)
    source_path: Path
    location: str
    table: TableSource | None = None
    glob: str = "*"
    format: Literal["csv", "whitespace", "jsonl", "parquet"] = "csv"
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True
    column_names: tuple[str, ...] = ()
    business_timezone: str = "UTC"
    naive_timezone: str = "UTC"
    currency: str | None = None
    timestamp_format: str | None = None
    date_format: str | None = None
    decimal_mark: Literal[".", ","] = "."
    thousands_mark: Literal["", ",", ".", " ", "'"] = ""
    null_words: tuple[str, ...] = ()
    delivery_time: DeliveryTime | None = None
    delivery_mode: Literal["append", "full_extract"] = "append"
    same_name: Literal["new_delivery", "replace"] = "new_delivery"
    required: bool = False
    allow_empty: bool = False
    item_price: Literal["unit", "line_total"] = "unit"
    option_price: Literal["unit", "line_total"] = "unit"
    options: Literal["replace_by_line", "append"] = "replace_by_line"
    quarantine_threshold: QuarantineThreshold = Field(default_factory=QuarantineThreshold)
    drift: Literal["evolve", "freeze"] = "evolve"
    trailer: Trailer | None = None
    manifest: Manifest | None = None
    entities: tuple[FeedEntity, ...] = Field(min_length=1)

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, delimiter: str) -> str:
        delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
        if not 1 <= len(delimiter) <= 4 or any(mark in delimiter for mark in '\n\r"'):
            raise ValueError('a delimiter is 1 to 4 characters without line ends and quotes ("tab" for tabs)')
        return delimiter

    @field_validator("quote")
    @classmethod
    def _quote(cls, quote: str) -> str:
        if len(quote) > 1 or (quote in "\n\r" and quote):
            raise ValueError("quote is one character, or empty where quotes have no meaning")
        return quote

    @field_validator("currency", "timestamp_format", "date_format", mode="before")
    @classmethod
    def _empty_is_none(cls, text: object) -> object:
        return None if text == "" else text

    @property
    def where(self) -> str:
        """Names the feed in an error text."""
        return f"feed {self.name} ({self.source_path.name})"

    def local_folder(self) -> Path | None:
        """The folder of a `file://` location, else None."""
        prefix = "file://"
        return Path(self.location[len(prefix) :]) if self.location.startswith(prefix) else None

    def delivered_at(self, object_name: str) -> datetime | None:
        """The delivery time (aware, UTC) that the object's name states, None without `delivery_time`.

        The time of day is local to the business time zone. A date without a time of day stands for the whole
        day, so the result is the end of that day: the rows of the day are in the file.

        Raises:
            DataRejectedError: when the name does not match (rule `delivery_time`).
        """
        if self.delivery_time is None:
            return None
        found = re.search(self.delivery_time.pattern, object_name)
        layout = self.delivery_time.format
        try:
            # The zone is attached in the next step; a format with %z keeps its own.
            moment = datetime.strptime(found.group(1) if found else "", layout)  # noqa: DTZ007
        except ValueError:
            raise DataRejectedError(
                f"{self.where}: the name {safe_name(object_name)!r} does not state a delivery time",
                remedy=f"correct `delivery_time` (pattern {self.delivery_time.pattern!r}, format {layout!r}) "
                "or narrow `glob` so that this file is not taken",
                rule="delivery_time",
            ) from None
        if not any(directive in layout for directive in ("%H", "%I", "%c", "%X", "%s")):
            moment += timedelta(days=1)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(self.business_timezone))
        return moment.astimezone(UTC)


# What an entry under `feeds:` may say; all but name and entities may stand under `defaults:` too.
SETTINGS = tuple(name for name in Feed.model_fields if name not in {"company", "source_path"})


def feeds_path(home: Home, named: Path | None = None) -> Path:
    """Where feeds are read from: the path given, else `TILLHOUSE_FEEDS`, else the home's `feeds/`."""
    if named is not None:
        return named
    variable = os.environ.get(FEEDS_VARIABLE, "").strip()
    return Path(variable).expanduser() if variable else home.feeds


def load_feeds(path: Path, home: Home) -> list[Feed]:
    """Every feed of a feed file, or of all `*.yml` / `*.yaml` files of a folder, sorted by file and position.

    Relative `file://` locations are below the home folder; `${NAME}` is taken from the environment.

    Raises:
        ConfigurationError: naming file, feed and key, with the nearest right word.
    """
    if path.is_dir():
        files = sorted(child for child in path.iterdir() if child.suffix in {".yml", ".yaml"})
    elif path.is_file():
        files = [path]
    else:
        raise ConfigurationError(
            f"there is no feed file or folder {path}",
            remedy=f"write one ({GUIDE}) or name another with --feeds or {FEEDS_VARIABLE}",
            rule="feed_file",
        )
    feeds: list[Feed] = []
    for file in files:
        for feed in _feeds_of_file(file, home):
            twin = next((other for other in feeds if other.name == feed.name), None)
            if twin is not None:
                raise ConfigurationError(
                    f"{file.name}: feed {feed.name} is also in {twin.source_path.name}",
                    remedy="give each feed its own name; the ledger tells feeds apart by it",
                    rule="feed_file",
                )
            feeds.append(feed)
    return feeds


class _TextLoader(yaml.BaseLoader):
    """Every scalar as the text that stands there; a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(str(key_node.value))
        return super().construct_mapping(node, deep)


def _feeds_of_file(file: Path, home: Home) -> list[Feed]:
    try:
        # Only texts, lists and mappings come out of this loader: no objects are made.
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_TextLoader)  # noqa: S506  (see above)
    except (OSError, UnicodeDecodeError) as error:
        raise _mistake(file, "", f"cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise _mistake(file, "", f"{place}{getattr(error, 'problem', None) or 'is not YAML'}") from error
    content = _mapping(file, "", content, ("company", "defaults", "feeds"))
    if not content.get("company"):
        raise _mistake(file, "company", "is missing: it names whose files these are")
    settings = tuple(name for name in Feed.model_fields if name not in {"company", "source_path"})
    defaults = _mapping(
        file,
        "defaults",
        content.get("defaults") or {},
        [s for s in settings if s not in {"name", "entities"}],
    )
    entries = content.get("feeds")
    if not isinstance(entries, list) or not entries:
        raise _mistake(file, "feeds", "must be a list of at least one feed")
    return [
        _feed_of_entry(
            file, home, company=str(content["company"]), defaults=defaults, entry=entry, number=number
        )
        for number, entry in enumerate(entries)
    ]


def _feed_of_entry(
    file: Path, home: Home, *, company: str, defaults: Mapping[str, Any], entry: object, number: int
) -> Feed:
    name = str(entry.get("name") or "") if isinstance(entry, dict) else ""
    where = f"feeds[{name or number}]"
    values = {**defaults, **_mapping(file, where, entry, SETTINGS)}
    for key in ("name", "location", "entities"):
        if not values.get(key):
            raise _mistake(file, f"{where}.{key}", "is missing")
    for key, model in (
        ("delivery_time", DeliveryTime),
        ("quarantine_threshold", QuarantineThreshold),
        ("table", TableSource),
        ("trailer", Trailer),
        ("manifest", Manifest),
    ):
        if values.get(key):
            values[key] = _build(file, f"{where}.{key}", model, values[key])
        else:
            values.pop(key, None)
    values["location"] = _absolute_location(file, f"{where}.location", str(values["location"]), home)
    entities = values["entities"]
    if not isinstance(entities, list):
        raise _mistake(file, f"{where}.entities", "must be a list")
    values["entities"] = tuple(_entity(file, where, entity) for entity in entities)
    feed: Feed = _build(file, where, Feed, {**values, "company": company, "source_path": file})
    _check_feed(file, where, feed)
    return feed


def _entity(file: Path, where: str, entry: object) -> FeedEntity:
    fields = _mapping(file, f"{where}.entities", entry, tuple(FeedEntity.model_fields))
    name = str(fields.get("entity") or "")
    place = f"{where}.entities[{name}]"
    contracts = load_contracts()
    if name not in contracts:
        raise _mistake(file, place, f"there is no entity {name!r}", contracts, name)
    contract = contracts[name]
    mappings: dict[str, ColumnMapping] = {}
    for key, value in _mapping(file, f"{place}.columns", fields.get("columns") or {}, None).items():
        spot = f"{place}.columns.{key}"
        column = next((c for c in contract.columns if c.name == key.casefold()), None)
        if column is None:
            names = [c.name for c in contract.columns if c.source == "file"]
            raise _mistake(file, spot, f"{name} has no column {key!r}", names, key)
        if column.source == "feed_setting":
            raise _mistake(file, spot, f"comes from the feed's setting `{column.setting}`, not from a file")
        if column.name in mappings:
            raise _mistake(file, spot, "is given twice")
        plain = {"column": value} if isinstance(value, str) else value
        mappings[column.name] = _build(file, spot, ColumnMapping, plain)
        _check_mapping(file, spot, mappings[column.name], contract, column.name)
    for name_made, mapping in mappings.items():
        _check_made_keys(file, f"{place}.columns.{name_made}", mapping, contract, mappings)
    filters = {key: _words(file, f"{place}.{key}", fields.get(key)) for key in ("exclude", "only")}
    return _build(file, place, FeedEntity, {"entity": name, "columns": mappings, **filters})


def _words(file: Path, place: str, listed: object) -> dict[str, tuple[str, ...]]:
    """Column → words of a row filter; one word may stand without brackets."""
    return {
        key: tuple(value) if isinstance(value, list) else (str(value),)
        for key, value in _mapping(file, place, listed or {}, None).items()
    }


def _check_mapping(file: Path, spot: str, mapping: ColumnMapping, contract: Contract, name: str) -> None:
    column = contract.column(name)
    sources = [key for key in SOURCES if getattr(mapping, key) not in (None, (), False)]
    if len(sources) > 1:
        raise _mistake(file, spot, f"has more than one source ({', '.join(sources)}): keep one")
    if mapping.is_absent and column.required and not column.may_be_absent:
        raise _mistake(file, f"{spot}.constant", f"is empty, but {name} is required")
    if mapping.unit == "cents" and column.type != "decimal":
        raise _mistake(file, f"{spot}.unit", f"`cents` goes with amounts; {name} is a {column.type}")
    for key in ("negate", "round", "product"):
        if getattr(mapping, key) and column.type != "decimal":
            raise _mistake(file, f"{spot}.{key}", f"goes with amounts; {name} is a {column.type}")
    for key in ("row_number", "number_within"):
        if getattr(mapping, key) and not column.is_identifier:
            raise _mistake(file, f"{spot}.{key}", f"makes ids; {name} is no id")
    if mapping.sum_over_key and (column.type != "decimal" or not contract.key):
        raise _mistake(file, f"{spot}.sum_over_key", "goes with amounts of an entity that has a key")
    if column.allowed:
        for target in [*mapping.map.values(), *filter(None, (mapping.constant, mapping.default))]:
            source_word = mapping.map.get(target, target)
            if source_word and source_word not in {*column.allowed, UNMAPPED}:
                raise _mistake(
                    file, spot, f"{source_word!r} is no word of {name}", column.allowed, source_word
                )
    _check_format(file, f"{spot}.timestamp_format", mapping.timestamp_format)
    _check_format(file, f"{spot}.date_format", mapping.date_format)


def _check_made_keys(
    file: Path, spot: str, mapping: ColumnMapping, contract: Contract, mappings: Mapping[str, ColumnMapping]
) -> None:
    """Rows are brought together by what they say, not by numbers that they are given."""
    names = [column.name for column in contract.columns if column.is_identifier]
    for name in mapping.number_within:
        if name not in names:
            raise _mistake(
                file, f"{spot}.number_within", f"{name!r} is no id of {contract.entity}", names, name
            )
    together = contract.key if mapping.sum_over_key else mapping.number_within
    key = "sum_over_key" if mapping.sum_over_key else "number_within"
    for name in together:
        if name in mappings and mappings[name].is_made:
            raise _mistake(file, f"{spot}.{key}", f"needs rows with the same {name}; here each has its own")


# It walks through the whole zone folder, 30 ms each time.
_known_zones = functools.cache(available_timezones)


def _check_feed(file: Path, where: str, feed: Feed) -> None:
    zones = _known_zones()
    for key in ("business_timezone", "naive_timezone"):
        zone = getattr(feed, key)
        if zone not in zones:
            raise _mistake(file, f"{where}.{key}", f"there is no time zone {zone!r}", zones, zone)
    if feed.currency is not None and feed.currency not in ISO_4217:
        raise _mistake(
            file, f"{where}.currency", f"{feed.currency!r} is no ISO 4217 code", ISO_4217, feed.currency
        )
    _check_format(file, f"{where}.timestamp_format", feed.timestamp_format)
    _check_format(file, f"{where}.date_format", feed.date_format)
    if feed.thousands_mark and feed.thousands_mark == feed.decimal_mark:
        raise _mistake(file, f"{where}.thousands_mark", "must differ from decimal_mark")
    _check_table(file, where, feed)
    names = [entity.entity for entity in feed.entities]
    for name in names:
        if names.count(name) > 1:
            raise _mistake(file, f"{where}.entities", f"{name} is listed twice")
    if feed.same_name == "replace" and "store.products" in names:
        raise _mistake(
            file,
            f"{where}.same_name",
            "`replace` would erase what the catalogue said before; products keep every delivery",
        )
    has_lines = feed.format in {"csv", "whitespace"}
    if has_lines and not feed.header and not feed.column_names:
        raise _mistake(file, f"{where}.column_names", "is missing: `header: false` needs the columns' names")
    if feed.header and feed.column_names and has_lines:
        raise _mistake(
            file, f"{where}.column_names", "goes with `header: false`: the header names the columns"
        )
    if not has_lines and feed.column_names:
        raise _mistake(file, f"{where}.column_names", f"{feed.format} files name their own columns")
    if has_lines and not feed.header:
        _check_named_columns(file, where, feed)


def _check_table(file: Path, where: str, feed: Feed) -> None:
    is_database = feed.location.startswith("postgres://")
    if feed.table is None:
        if is_database:
            raise _mistake(file, f"{where}.table", "is missing: it says what is read of the database")
        return
    if not is_database:
        raise _mistake(file, f"{where}.table", "goes with a postgres:// location")
    for name in SETTINGS_OF_FILES:
        if getattr(feed, name) != Feed.model_fields[name].get_default():
            raise _mistake(
                file, f"{where}.{name}", "says how files are written; rows of a table come as they are"
            )
    for name in feed.table.columns:
        if feed.table.columns.count(name) > 1 or not name:
            raise _mistake(file, f"{where}.table.columns", f"{name!r} is empty or listed twice")


def _check_named_columns(file: Path, where: str, feed: Feed) -> None:
    """Without a header all names are known before any file is."""
    known = [name.strip().casefold() for name in feed.column_names]
    for name in known:
        if known.count(name) > 1 or not name:
            raise _mistake(file, f"{where}.column_names", f"{name!r} is empty or listed twice")
    for entity in feed.entities:
        contract = load_contracts()[entity.entity]
        for column in contract.columns:
            mapping = entity.mapping(column.name)
            spot = f"{where}.entities[{entity.entity}].columns.{column.name}"
            for source in mapping.source_columns(column.name):
                mapped = column.name in entity.columns
                if source.strip().casefold() in known or column.source == "feed_setting":
                    continue
                has_default = (
                    mapping.default is not None
                    or column.default is not None
                    or (column.default_setting is not None and feed.currency is not None)
                )
                if (mapped or column.required) and not has_default:
                    raise _mistake(
                        file, spot, f"`column_names` has no column {source!r}", feed.column_names, source
                    )


def _check_format(file: Path, place: str, layout: str | None) -> None:
    if layout is None:
        return
    try:
        compile_format(layout)
    except ValueError as error:
        raise _mistake(file, place, str(error)) from error


def _absolute_location(file: Path, place: str, location: str, home: Home) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match.group(1))
        if not found:
            raise _mistake(file, place, f"the environment variable {match.group(1)} is not set")
        return found

    location = re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, location)
    scheme, separator, rest = location.partition("://")
    if not separator:
        raise _mistake(file, place, f"{location!r} needs a scheme: file://, s3:// or postgres://")
    if scheme not in SCHEMES:
        raise _mistake(file, place, f"no store for {scheme}://", SCHEMES, scheme)
    if not rest:
        raise _mistake(file, place, "names no folder")
    if scheme == "gdrive":
        return location  # told when it is to be read: other feeds of the file can be
    try:
        found = read_location(location, home)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"feed file {file.name}: {place}: {error.problem}", remedy=error.remedy, rule="feed_file"
        ) from None
    return f"file://{found.folder}" if isinstance(found, FolderLocation) else location


def _pattern_with_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    if groups < 1:
        raise ValueError(f"{pattern!r} needs a group ( ) around what is to be read")
    return pattern


def _mapping(file: Path, place: str, value: object, allowed: Iterable[str] | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mistake(file, place, "must be `key: value` pairs")
    if allowed is not None:
        names = tuple(allowed)
        for key in value:
            if key not in names:
                spot = f"{place}.{key}" if place else str(key)
                raise _mistake(file, spot, "is no key here", names, str(key))
    return {str(key): item for key, item in value.items()}


def _build(file: Path, place: str, model: type[M], value: object) -> M:
    if isinstance(value, model):
        return value
    fields = _mapping(file, place, value, tuple(model.model_fields))
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        spot = ".".join([place, *(str(part) for part in first["loc"])])
        expected = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
        message = str(first["msg"]).removeprefix("Value error, ")
        given = first.get("input")
        if expected:
            message = f"{given!r} is none of {', '.join(expected)}"
        raise _mistake(file, spot, message, expected, str(given)) from error


def _mistake(
    file: Path, place: str, problem: str, words: Iterable[str] = (), given: str = ""
) -> ConfigurationError:
    near = difflib.get_close_matches(given.casefold(), {word.casefold(): word for word in words}, n=1)
    spelled = next((word for word in words if near and word.casefold() == near[0]), None)
    hint = f"did you mean {spelled!r}? " if spelled else ""
    subject = f"feed file {file.name}: {place}" if place else f"feed file {file.name}:"
    return ConfigurationError(
        f"{subject} {problem}", remedy=f"{hint}see {GUIDE} for what a feed file may say", rule="feed_file"
    )
