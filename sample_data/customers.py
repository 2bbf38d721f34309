"""Who buys: acquisition, churn, loyalty, and how unevenly people buy."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample_data.columns import NEVER, identifiers, pick, table, timestamps
from sample_data.columns import dates as date_texts
from sample_data.randomness import Floats, Integers, Mask, some, stream
from sample_data.trading import TradingCalendar, shared_out

REGIONS = ("Northeast", "Midwest", "South", "West", "Pacific")
_REGION_SHARES = (0.31, 0.22, 0.25, 0.13, 0.09)
_GIVEN = (
    "ana", "ben", "carla", "dmitri", "elif", "farid", "grace", "hana", "ivan", "june", "kofi", "lena", "mateo",
    "nora", "omar", "priya", "quinn", "rosa", "sven", "tara", "uma", "victor", "wen", "ximena", "yusuf", "zoe",
)  # fmt: skip
_FAMILY = (
    "adams", "baker", "chen", "diaz", "evans", "fischer", "garcia", "hughes", "ito", "jones", "kim", "lopez",
    "meyer", "nguyen", "okafor", "patel", "quist", "rossi", "smith", "tanaka", "ueda", "varga", "weber",
)  # fmt: skip
_DOMAINS = ("example.com", "example.org", "example.net", "mail.example")
_LONG_AGO_DAYS = 540  # the company is this old when the first file is drawn up


class CustomerBase:
    """The people of one system, ordered by the day on which they came.

    Purchase rates follow a gamma distribution (as in the NBD model of Ehrenberg, 1959), members of the
    loyalty programme buy more often, and everybody stops one day (exponential lifetimes).

    Attributes:
        came, left: index of the first and of the last possible buying day; `came` may be negative.
        rate: relative purchases a day.
        joined: day of joining the loyalty programme, far in the future for those who never do.
        registered: whether the person is in the customer files.
    """

    def __init__(self, calendar: TradingCalendar, *, per_order: float, loyal_share: float) -> None:
        self.calendar = calendar
        self.plan = calendar.plan
        rng = stream(self.plan.seed, calendar.system, "customers")
        self.count = count = max(30, round(calendar.orders * per_order))
        before = count * 3 // 10
        pace = calendar.demand * np.linspace(1.25, 0.75, self.plan.days)
        self.new_counts = shared_out(count - before, pace)
        came_before = np.sort(rng.integers(-_LONG_AGO_DAYS, 0, before))
        self.came = np.concatenate([came_before, np.repeat(np.arange(self.plan.days), self.new_counts)])
        self.first_new = before + np.concatenate([[0], np.cumsum(self.new_counts)])
        self.rate = rng.gamma(0.65, 1.0, count) + 0.01
        lifetime = np.where(rng.random(count) < 0.25, 1, 30 + rng.exponential(330, count))
        self.left = self.came + lifetime.astype(np.int64)
        # Of those who came before the first file, none has left yet.
        self.left[:before] = rng.exponential(300, before).astype(np.int64)
        self.registered = ~some(rng, self.came >= 0, 0.004, at_least=2)
        joins = (rng.random(count) < loyal_share) & self.registered
        delay = rng.geometric(1 / 25, count) - 1
        self.joined = np.where(joins, self.came + delay, 10**6).astype(np.int64)
        self.orders_at_once = (rng.random(count) < 0.85) | ~self.registered
        self.region = rng.choice(len(REGIONS), size=count, p=_REGION_SHARES)
        moves = rng.random(count) < 0.04
        self.moved = np.where(moves, self.came + rng.integers(5, 500, count), 10**6).astype(np.int64)
        self.hour = rng.integers(0, 86_400 - 14_400, count)  # seconds after midnight of what they do

    def choose(self, rng: np.random.Generator, start: int, stop: int, guest_share: float) -> Integers:
        """The buyer of each order of days `[start, stop)`, in the order of the days; -1 for guests."""
        drawn = [self._of_day(rng, day, guest_share) for day in range(start, stop)]
        return np.concatenate(drawn) if drawn else np.zeros(0, dtype=np.int64)

    def _of_day(self, rng: np.random.Generator, day: int, guest_share: float) -> Integers:
        orders = int(self.calendar.order_counts[day])
        if not orders:
            return np.zeros(0, dtype=np.int64)
        low, high = int(self.first_new[day]), int(self.first_new[day + 1])
        first_buyers = (low + np.flatnonzero(self.orders_at_once[low:high]))[: int(orders * 0.6)]
        # Customers come in order, so those known on the day are a prefix.
        rates = self._rates[:high] * (self.left[:high] >= day)
        rates *= 1 + 0.8 * (self.joined[:high] <= day)
        cumulative = np.cumsum(rates)
        repeats = orders - len(first_buyers)
        drawn = np.searchsorted(cumulative, rng.random(repeats) * cumulative[-1], side="right")
        drawn = np.minimum(drawn, high - 1)
        drawn[rng.random(repeats) < guest_share] = -1
        return np.concatenate([first_buyers, drawn]).astype(np.int64)

    @cached_property
    def _rates(self) -> Floats:
        return self.rate.astype(np.float32)  # half the memory traffic of the largest arrays

    def is_loyal(self, customers: Integers, day_index: Integers) -> Mask:
        """Whether the buyer is a member on the day; guests are not."""
        return np.asarray((customers >= 0) & (self.joined[customers] <= day_index))

    def numbers(self, customers: Integers) -> Integers:
        """Public customer numbers: they do not tell the order of arrival in steps of one."""
        return 100_000 + customers * 7

    # -- the shop's customer files ----------------------------------------------------------------------

    @cached_property
    def events(self) -> Integers:
        """UTC seconds of signing up, joining the programme, moving; `NEVER` where it does not happen.

        Shape (customers, 3).
        """
        days = np.stack([self.came, np.maximum(self.joined, self.came), np.maximum(self.moved, self.came)])
        offset = np.array([[0], [1_800], [3_600]])
        start = int(self.calendar.midnights[0])
        seconds = start + days * 86_400 + self.hour + offset
        return np.where(days < self.plan.days, seconds, NEVER).T.astype(np.int64)

    @cached_property
    def deliveries(self) -> Integers:
        """The delivery in which each event arrives. Shape (customers, 3)."""
        arrives = self.calendar.deliveries_of(self.events.ravel()).reshape(self.events.shape)
        arrives[~self.registered] = self.plan.deliveries + 1
        return arrives

    def versions(self, delivery: int) -> tuple[Integers, Integers]:
        """Customers that a delivery tells of, and the moment up to which it does (UTC seconds).

        A customer whose data changed after the history was drawn up comes again, with a later `updated_at`.
        """
        customers = np.flatnonzero((self.deliveries == delivery).any(axis=1))
        known = np.where(self.deliveries[customers] <= delivery, self.events[customers], -1)
        return customers, known.max(axis=1)

    def rows(self, customers: Integers, updated_at: Integers) -> pa.Table:
        """Rows of the customer file, in the words of the source system."""
        rng = stream(self.plan.seed, "customers", "texts")
        has_moved = self.events[customers, 2] <= updated_at
        region = np.where(has_moved, (self.region[customers] + 1) % len(REGIONS), self.region[customers])
        # One address in two hundred is missing, a few belong to two people, some are typed in capitals.
        missing = rng.random(self.count)[customers] < 0.005
        shared = customers % 997 == 500
        person = np.where(shared, np.maximum(customers - 1, 0), customers)
        local = pc.binary_join_element_wise(
            pick(_GIVEN, person % len(_GIVEN)),
            pick(_FAMILY, person // 3 % len(_FAMILY)),
            pa.array(person).cast(pa.string()),
            ".",
        )
        address = pc.binary_join_element_wise(local, pick(_DOMAINS, person % len(_DOMAINS)), "@")
        loud = pa.array(customers % 211 == 7)
        address = pc.if_else(loud, pc.utf8_upper(address), address)
        signup = self.calendar.days[0] + self.came[customers].astype("timedelta64[D]")
        loyal = self.events[customers, 1] <= updated_at
        return table(
            {
                "customer_number": identifiers("C", self.numbers(customers)),
                "email_address": pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), address),
                "sales_region": pick(REGIONS, region),
                "registered_on": date_texts(signup),
                "club_member": pick(("no", "yes"), loyal.astype(np.int8)),
                "last_modified": timestamps(updated_at),
            }
        )
