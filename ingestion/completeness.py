"""Whether the feeds that a day cannot be published without have delivered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ingestion.feed import Feed
from ingestion.ledger import LedgerEntry
from ingestion.report import BatchResult
from ingestion.results import missing_result, result_of


def delivery_date(feed: Feed, entry: LedgerEntry) -> date | None:
    """The day that a declared delivery is for, in the business time zone; midnight belongs to the day it ends."""
    if entry.delivered_at is None or feed.delivery_time is None:
        return None
    moment = entry.delivered_at - timedelta(microseconds=1)
    return moment.astimezone(ZoneInfo(feed.business_timezone)).date()


def delivery_dates(feed: Feed, entries: Sequence[LedgerEntry]) -> list[date]:
    """The days that the feed has a delivery for, good or bad."""
    return [day for entry in _deliveries(entries) if (day := delivery_date(feed, entry))]


def _deliveries(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Without what only repeats another delivery. A day on which nothing happened is no repetition of an earlier
    such day, though its file has the same content; a file with rows under a second day's name is one."""
    empty = {entry.batch_id for entry in entries if entry.status == "loaded" and entry.rows_read == 0}
    return [entry for entry in entries if entry.status != "duplicate" or entry.duplicate_of in empty]


def _place(entry: LedgerEntry) -> tuple[bool, int, datetime, str]:
    number, _, _ = entry.order
    if entry.status == "duplicate" and entry.delivered_at is not None:
        number = int(entry.delivered_at.timestamp()) * 1000  # as a delivery with this time is numbered
    # A rejected file without a number (no delivery time in its name) is as new as the run that saw it.
    is_unnumbered = entry.load_sequence is None and entry.status != "duplicate"
    return is_unnumbered, number, entry.first_seen_at, entry.object_name


def incomplete(feed: Feed, entries: Sequence[LedgerEntry], newest_day: date | None) -> BatchResult | None:
    """Why a required feed is not complete, None when it is.

    It is not when its newest delivery was rejected, when it never delivered, or, where the feed states
    delivery times, when it has nothing for the newest day that any feed of the company has delivered.

    Args:
        entries: all of the feed.
        newest_day: of all feeds of the company.
    """
    counted = [entry for entry in _deliveries(entries) if entry.status != "withdrawn"]
    loaded = [entry for entry in counted if entry.status in {"loaded", "duplicate"}]
    if counted:
        newest = max(counted, key=_place)
        if newest.status == "rejected":
            return result_of(newest, ())
    if not loaded:
        return missing_result(feed, "nothing was ever loaded")
    days = delivery_dates(feed, loaded)
    if feed.delivery_time is not None and newest_day is not None and max(days, default=date.min) < newest_day:
        return missing_result(
            feed, f"other feeds of {feed.company} have delivered {newest_day}, this one has not"
        )
    return None
