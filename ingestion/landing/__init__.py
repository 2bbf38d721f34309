"""Where deliveries arrive: one store per kind of place, chosen by the scheme of a feed's location.

`base` says what a store is; `folder`, `s3` and `relational` are the stores. An object's name is data: no local path is
ever built from it, and what is kept in the ledger and shown to people is its `safe_name`.
"""

from __future__ import annotations

from ingestion.feed import Feed
from ingestion.landing.base import (
    LandingObject,
    LandingStore,
    Listing,
    ObjectNotReadyError,
    OpenedObject,
    PolledStore,
    SkippedObject,
)
from ingestion.landing.folder import FolderStore
from ingestion.locations import BucketLocation, DatabaseLocation, FolderLocation, read_location
from settings.home import Home

__all__ = [
    "FolderStore", "LandingObject", "LandingStore", "Listing", "ObjectNotReadyError", "OpenedObject", "PolledStore",
    "SkippedObject", "open_store",
]  # fmt: skip


def open_store(feed: Feed, home: Home) -> LandingStore:
    """The store of a feed's location. Nothing is asked of the place yet.

    Raises:
        ConfigurationError: for a location of a kind that is not known (yet).
        ModuleNotFoundError: when the package that the kind needs is not installed.
    """
    match read_location(feed.location, home):
        case FolderLocation(folder):
            return FolderStore(folder)
        case BucketLocation(bucket, prefix):
            from ingestion.landing.s3 import S3Store

            return S3Store(bucket, prefix)
        case DatabaseLocation() as database:
            from ingestion.landing.relational import RelationalStore

            return RelationalStore(database, feed)
