"""Feeds: where one company's files are and how they are written. One YAML file per company, no code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from settings.home import Home


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ColumnMapping(_Model):
    """How one contract column is made from the file. Exactly one of the sources is set.

    Attributes:
        column: name of a column of the file.
        constant: the same text in every row.
        compose: columns of the file, joined with `separator`.
        row_number: an id made of the delivery's content hash and the row's number.
        sum_over_key: the sum, over the rows with the same key, of the product of these columns.
    """

    column: str | None = None
    constant: str | None = None
    compose: tuple[str, ...] = ()
    separator: str = " "
    row_number: bool = False
    sum_over_key: tuple[str, ...] = ()
    unit: Literal["units", "cents"] = "units"
    map: Mapping[str, str] = Field(default_factory=dict)
    ignore_case: bool = False
    default: str | None = None
    remove: tuple[str, ...] = ()
    timestamp_format: str | None = None
    date_format: str | None = None
    card_check: bool = True


class FeedEntity(_Model):
    """One entity that a feed's files hold."""

    entity: str
    columns: Mapping[str, ColumnMapping] = Field(default_factory=dict)
    exclude: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class DeliveryTime(_Model):
    """The delivery time in a file's name: `pattern` finds it (first group), `format` reads it (strptime)."""

    pattern: str
    format: str


class QuarantineThreshold(_Model):
    """A file is rejected whole when its bad rows are more than `rows` AND more than `share` of all."""

    share: float = 0.01
    rows: int = 100


class Trailer(_Model):
    """The last line of a file that states its number of data rows: the pattern's first group."""

    pattern: str


class Manifest(_Model):
    """A JSON file beside the data file: name + `suffix`; `rows`, `sha256`, `delivered_at` name its keys."""

    suffix: str = ".manifest.json"
    rows: str = "rows"
    sha256: str = "sha256"
    delivered_at: str = "delivered_at"


class Feed(_Model):
    """One feed: one kind of file of one company.

    Attributes:
        location: absolute URI once loaded: `file:///...`, `s3://...`, `gdrive://...`.
        source_path: the feed file that this feed was read from.
    """

    company: str
    name: str
    source_path: Path
    location: str
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

    def local_folder(self) -> Path | None:
        """The folder of a `file://` location, else None."""
        prefix = "file://"
        return Path(self.location[len(prefix) :]) if self.location.startswith(prefix) else None

    def delivered_at(self, object_name: str) -> datetime | None:
        """The delivery time (aware, UTC) that the object's name states, None without `delivery_time`.

        A date without a time of day stands for the whole day: the result is its end in the business time
        zone, because the rows of that day are in the file.

        Raises:
            DataRejectedError: when the name does not match (rule `delivery_time`).
        """
        raise NotImplementedError


def load_feeds(path: Path, home: Home) -> list[Feed]:
    """Every feed of a feed file, or of all `*.yml` / `*.yaml` files of a folder, sorted by file and position.

    Raises:
        ConfigurationError: naming file, feed and key, with the nearest right word.
    """
    raise NotImplementedError
