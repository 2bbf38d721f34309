"""The thirty places of the company: franchise restaurants, and the shop's web store and pick-up points."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from sample_data.columns import dates, pick, table
from sample_data.plan import RESTAURANT_ZONE, STORE_ZONE, SamplePlan
from sample_data.randomness import Floats, Integers, stream
from sample_data.trading import TradingCalendar

_TOWNS = (
    ("Chicago Loop", "Illinois"), ("Evanston", "Illinois"), ("Naperville", "Illinois"), ("Peoria", "Illinois"),
    ("Springfield", "Illinois"), ("Milwaukee", "Wisconsin"), ("Madison", "Wisconsin"), ("Green Bay", "Wisconsin"),
    ("Minneapolis", "Minnesota"), ("St. Paul", "Minnesota"), ("Duluth", "Minnesota"), ("Des Moines", "Iowa"),
    ("Iowa City", "Iowa"), ("Kansas City", "Missouri"), ("St. Louis", "Missouri"), ("Columbia", "Missouri"),
    ("Omaha", "Nebraska"), ("Lincoln", "Nebraska"), ("Dallas", "Texas"), ("Houston", "Texas"),
    ("Austin", "Texas"), ("San Antonio", "Texas"), ("Fort Worth", "Texas"), ("Coeur d'Alène Street", "Texas"),
)  # fmt: skip
_PLACES = (
    ("WEB", "Web store", "Online", 1.0),
    ("PU-BOS", "Boston, Harbor Street", "Northeast", 0.07),
    ("PU-NYC", "New York, 8th Avenue", "Northeast", 0.09),
    ("PU-PHL", "Philadelphia", "Northeast", 0.05),
    ("PU-ATL", "Atlanta", "South", 0.04),
    ("PU-MIA", "Miami", "South", 0.03),
)
RESTAURANTS, SHOPS = len(_TOWNS), len(_PLACES)
WEB = 0
SHOP_IDS = tuple(place[0] for place in _PLACES)
# With leading zeros: a reader that takes them for numbers is found out.
RESTAURANT_IDS = tuple(f"{101 + number * 7:05d}" for number in range(RESTAURANTS))


@dataclass(frozen=True)
class Restaurants:
    """Restaurants by position: index of the first day of trading (0 or earlier: from the start on)."""

    opened: Integers
    weights: Floats  # (days, restaurants): relative orders


def restaurants(calendar: TradingCalendar) -> Restaurants:
    """Openings and popularity. Four restaurants open during the history where it is long enough."""
    plan = calendar.plan
    rng = stream(plan.seed, "restaurants")
    opened = -rng.integers(30, 2_000, RESTAURANTS)
    late = rng.permutation(RESTAURANTS)[:4]
    if plan.history_days > 60:
        opened[late] = np.sort(rng.integers(20, plan.history_days - 20, 4))
    popularity = np.exp(rng.normal(0, 0.45, RESTAURANTS))
    trend = 1 + rng.normal(0, 0.25, RESTAURANTS) * np.linspace(-0.5, 0.5, plan.days)[:, None]
    open_now = np.arange(plan.days)[:, None] >= opened
    return Restaurants(opened.astype(np.int64), np.asarray(popularity * np.maximum(trend, 0.3) * open_now))


def shop_weights() -> Floats:
    """Relative orders of the shop's places."""
    return np.array([place[3] for place in _PLACES])


def restaurant_rows(plan: SamplePlan, places: Restaurants, *, renamed: bool) -> pa.Table:
    """Rows of the franchise's list of restaurants, in its words; one of them is renamed one day."""
    names = [town for town, _ in _TOWNS]
    if renamed:
        names[0] = "Chicago Loop, Wacker Drive"
    opened = np.datetime64(plan.first_day, "D") + places.opened.astype("timedelta64[D]")
    return table(
        {
            "LOCATION_ID": pa.array(RESTAURANT_IDS, pa.string()),
            "NAME": pa.array(names, pa.string()),
            "REGION": pa.array([state for _, state in _TOWNS], pa.string()),
            "TIMEZONE": pa.array([RESTAURANT_ZONE] * RESTAURANTS, pa.string()),
            "OPENED_ON": dates(opened, pattern="%d-%m-%Y"),
        }
    )


def shop_rows(plan: SamplePlan) -> pa.Table:
    """Rows of the shop's list of places, in its words."""
    first = plan.first_day - timedelta(days=700)
    opened = np.datetime64(first, "D") + np.arange(SHOPS).astype("timedelta64[D]") * 90
    return table(
        {
            "location_id": pa.array(SHOP_IDS, pa.string()),
            "name": pa.array([place[1] for place in _PLACES], pa.string()),
            "region": pa.array([place[2] for place in _PLACES], pa.string()),
            "timezone": pick([STORE_ZONE], np.zeros(SHOPS, dtype=np.int8)),
            "opened_on": dates(opened),
        }
    )
