"""Whether the feeds that a day cannot be published without have delivered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
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


def incomplete(feed: Feed, entries: Sequence[LedgerEntry], newest_day: date | None) -> BatchResult | None:
    """Why a required feed is not complete, None when it is.

    It is not when its newest delivery was rejected, when it never delivered, or, where the feed states
    delivery times, when it has nothing for the newest day that any feed of the company has delivered.

    Args:
        entries: all of the feed.
        newest_day: of all feeds of the company.
    """
    counted = [entry for entry in entries if entry.status in {"loaded", "rejected", "pending"}]
    loaded = [entry for entry in counted if entry.status == "loaded"]
    if counted:
        # A rejected file without a number (no delivery time in its name) is as new as the run that saw it.
        newest = max(counted, key=lambda entry: (entry.load_sequence is None, entry.order))
        if newest.status == "rejected":
            return result_of(newest, ())
    if not loaded:
        return missing_result(feed, "nothing was ever loaded")
    days = [day for entry in loaded if (day := delivery_date(feed, entry))]
    if feed.delivery_time is not None and newest_day is not None and max(days, default=date.min) < newest_day:
        return missing_result(
            feed, f"other feeds of {feed.company} have delivered {newest_day}, this one has not"
        )
    return None
