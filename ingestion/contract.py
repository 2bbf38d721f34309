"""Contracts: what an entity is. Columns, types, rules and privacy, read from `contracts/*.yml`.

A contract belongs to the project. How one company's files spell it is a feed (see `feed.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from settings.errors import ConfigurationError

CONTRACTS_FOLDER = Path(__file__).resolve().parent / "contracts"

ColumnType = Literal["text", "integer", "decimal", "boolean", "timestamp", "date"]
Pii = Literal["none", "hash", "last_four"]
FeedSetting = Literal["item_price", "option_price", "options"]

DUCKDB_TYPES: Mapping[ColumnType, str] = {
    "text": "varchar",
    "integer": "bigint",
    "decimal": "decimal(18,4)",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "date": "date",
}

# Name and DuckDB type, in the order in which every raw table ends with them.
LINEAGE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("_feed", "varchar"),
    ("_business_timezone", "varchar"),
    ("_batch_id", "varchar"),
    ("_load_sequence", "bigint"),
    ("_source_file", "varchar"),
    ("_file_sha256", "varchar"),
    ("_row_number", "bigint"),
    ("_ingested_at", "timestamp"),
    ("_contract_version", "varchar"),
    ("_delivery_mode", "varchar"),
    ("_arrived_at", "timestamp"),
    ("_rescued", "varchar"),
)
# Of these, what differs between the rows of one file.
LINEAGE_OF_ROWS = frozenset({"_row_number", "_rescued"})


class RequiredWhen(BaseModel):
    """The column must have a value in rows where another column holds this word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    equals: str


class ChangeKey(BaseModel):
    """Columns that name what a row changes in the warehouse: the `key` and `day` of `state.changed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    day: str | None = None


class ContractColumn(BaseModel):
    """One column of a contract.

    Attributes:
        name: in lower case, as the contract and the feeds spell it.
        type: of the value in the raw table.
        required: an empty cell sends the row to quarantine.
        may_be_absent: required, but a company may say that it does not have the column (`constant: ""`).
        minimum, maximum: bounds of a number; inclusive unless the matching `_exclusive` is set.
        allowed: the contract's words; another word loads as `unmapped` (`unknown_word`).
        vocabulary: a list of words kept in code; another word sends the row to quarantine.
        default: value of an empty cell or a missing column.
        default_setting: the feed's setting that is the default.
        pii: `hash` keeps a keyed token, `last_four` the last four digits; never the value.
        output_name: name in the raw table where privacy changes it.
        source: `feed_setting` columns are constants taken from the feed (`setting`), not from the file.
        is_identifier: a key or a reference to one; blank-like words (`NULL`, `N/A`) are no identifiers.
        not_after_arrival: a value more than 24 hours after the file's arrival sends the row to quarantine.
        at_most_product_of: the value may not exceed the product of these columns of the row.
        required_when: required only in some rows.
        subject: names the customer whom the row is about; a pseudonym takes its place when they are erased.
        personal: says something of that customer which is cut when they are erased; as is all that `pii` marks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    type: ColumnType = "text"
    required: bool = False
    may_be_absent: bool = False
    minimum: Decimal | None = None
    minimum_exclusive: bool = False
    maximum: Decimal | None = None
    maximum_exclusive: bool = False
    allowed: tuple[str, ...] = ()
    unknown_word: Literal["unmapped"] = "unmapped"
    vocabulary: Literal["iso_4217"] | None = None
    default: str | None = None
    default_setting: Literal["currency"] | None = None
    pii: Pii = "none"
    output_name: str = ""
    source: Literal["file", "feed_setting"] = "file"
    setting: FeedSetting | None = None
    is_identifier: bool = False
    not_after_arrival: bool = False
    at_most_product_of: tuple[str, ...] = ()
    required_when: RequiredWhen | None = None
    subject: bool = False
    personal: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _complete(self) -> ContractColumn:
        if not self.output_name:
            object.__setattr__(self, "output_name", self.name)
        if (self.source == "feed_setting") != (self.setting is not None):
            raise ValueError(f"column {self.name}: `setting` goes with `source: feed_setting`")
        return self

    @property
    def duckdb_type(self) -> str:
        return DUCKDB_TYPES[self.type]


class Contract(BaseModel):
    """An entity: its key, its columns, the raw table that holds it.

    Attributes:
        entity: "store.orders".
        system: "store" or "restaurant".
        name: "orders".
        raw_table: "raw.store_orders".
        version: short hash of the YAML's content.
        key: columns that name one thing; a repetition with equal content is a duplicate. Empty where
            repeated rows are real (order item options).
        replaced_by: columns that name what a newer delivery replaces as a whole, where that is not `key`.
        latest_by: column whose highest value is the newest version, if the entity has one.
        event_at: timestamp or date column that says when the row happened, if it has one.
        change_key: what a loaded or removed row tells incremental models; none where all that reads the table is
            computed anew in every run.
        columns: in the order of the raw table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entity: str
    system: str
    name: str
    raw_table: str
    version: str
    description: str = ""
    key: tuple[str, ...]
    replaced_by: tuple[str, ...] = ()
    latest_by: str | None = None
    event_at: str | None = None
    change_key: ChangeKey | None = None
    columns: tuple[ContractColumn, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_exist(self) -> Contract:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.entity}: a column is named twice")
        if sum(column.subject for column in self.columns) > 1:
            raise ValueError(f"{self.entity}: a row is about one customer")
        mentioned = [*self.key, *self.replaced_by, *filter(None, (self.latest_by, self.event_at))]
        if self.change_key:
            mentioned.extend(filter(None, (self.change_key.key, self.change_key.day)))
        for column in self.columns:
            mentioned.extend(column.at_most_product_of)
            if column.required_when:
                mentioned.append(column.required_when.column)
        for name in mentioned:
            if name not in names:
                raise ValueError(f"{self.entity}: no column {name!r}")
        return self

    def column(self, name: str) -> ContractColumn:
        """The column of this name.

        Raises:
            KeyError: when there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def subject(self) -> ContractColumn | None:
        """The column that names the customer whom a row is about, if there is one."""
        return next((column for column in self.columns if column.subject), None)

    @property
    def decimal_columns(self) -> tuple[str, ...]:
        """Columns whose sums are the control totals."""
        return tuple(column.output_name for column in self.columns if column.type == "decimal")


def raw_column_types(contract: Contract) -> list[tuple[str, str]]:
    """Name and DuckDB type of every column of the raw table, lineage last, in order."""
    own = [(column.output_name, column.duckdb_type) for column in contract.columns]
    return [*own, *LINEAGE_COLUMNS]


@cache
def load_contracts() -> dict[str, Contract]:
    """All contracts of the project, by entity ("store.orders"), in the order of the file names.

    Raises:
        ConfigurationError: when a contract file is not valid.
    """
    contracts: dict[str, Contract] = {}
    for path in sorted(CONTRACTS_FOLDER.glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        system, _, name = content["entity"].partition(".")
        try:
            contract = Contract(
                **content,
                system=system,
                name=name,
                raw_table=f"raw.{system}_{name}",
                version=hashlib.sha256(text.encode("utf-8")).hexdigest()[:12],
            )
        except ValidationError as error:
            raise ConfigurationError(
                f"contract file {path.name} is not valid: {error.errors()[0]['msg']}",
                remedy="correct the file; contracts belong to the project and are changed with it",
                rule="contract",
            ) from error
        contracts[contract.entity] = contract
    return contracts
