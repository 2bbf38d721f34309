"""What a reader chose, as the page's address says it: `?period=28d&system=store&location=restaurant:R01`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from serving.dashboards.boards import Choices
from serving.dashboards.definitions import FilterName
from serving.dashboards.questions import Filters, Period
from settings.errors import UsageError

# Whole weeks, so that a period and the one before have the same weekdays.
PRESETS = {"7d": "Last 7 days", "28d": "Last 28 days", "91d": "Last 91 days", "364d": "Last 52 weeks"}
ALL_TIME = "all"
CUSTOM = "custom"
DEFAULT_PERIOD = "91d"
_DATES = re.compile(r"(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})", re.ASCII)


@dataclass(frozen=True)
class Selection:
    """The chosen filters in the words of the address.

    Attributes:
        period: a name of `PRESETS`, `all`, or two days: `2026-01-01..2026-03-31`.
        locations: `system:location id` of each.
    """

    period: str = DEFAULT_PERIOD
    systems: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def parameters(self) -> dict[str, list[str]]:
        """The address's query; what is as at the start is left out."""
        given = {
            FilterName.PERIOD: [] if self.period == DEFAULT_PERIOD else [self.period],
            FilterName.SYSTEM: list(self.systems),
            FilterName.LOCATION: list(self.locations),
            FilterName.CATEGORY: list(self.categories),
            FilterName.CHANNEL: list(self.channels),
        }
        return {str(name): values for name, values in given.items() if values}

    def filters(self, choices: Choices) -> Filters:
        """What the cards are asked with; a preset counts back from the last day with an order."""
        keys = {place.name: place.key for place in choices.locations}
        return Filters(
            period=read_period(self.period, choices.last_day),
            systems=self.systems,
            locations=tuple(keys[name] for name in self.locations),
            categories=self.categories,
            channels=self.channels,
        )


@dataclass(frozen=True)
class Reading:
    """What was understood of an address, and what was not."""

    selection: Selection
    problems: list[str] = field(default_factory=list)


def read_address(parameters: Mapping[str, Sequence[str]], choices: Choices) -> Reading:
    """The selection that an address names. What cannot be read is left out and told, never an error."""
    problems: list[str] = []
    periods = parameters.get(FilterName.PERIOD, [])
    period = DEFAULT_PERIOD
    if periods:
        try:
            read_period(periods[-1], choices.last_day)
            period = periods[-1]
        except UsageError as error:
            problems.append(f"{error.problem}: {error.remedy}")

    def known(name: FilterName, allowed: Sequence[str]) -> tuple[str, ...]:
        asked = list(dict.fromkeys(parameters.get(name, [])))
        unknown = [value for value in asked if value not in allowed]
        if unknown:
            problems.append(
                f"there is no {name} {', '.join(repr(value) for value in unknown)} that you may see:"
                " the figures are shown without it"
            )
        return tuple(value for value in asked if value in allowed)

    selection = Selection(
        period=period,
        systems=known(FilterName.SYSTEM, choices.systems),
        locations=known(FilterName.LOCATION, [place.name for place in choices.locations]),
        categories=known(FilterName.CATEGORY, choices.categories),
        channels=known(FilterName.CHANNEL, choices.channels),
    )
    return Reading(selection, problems)


def read_period(text: str, last_day: date | None) -> Period | None:
    """The days that a period's words name; None for all time.

    Raises:
        UsageError: when they cannot be read.
    """
    if text == ALL_TIME:
        return None
    if text in PRESETS:
        if last_day is None:
            return None
        return Period(last_day - timedelta(days=int(text.removesuffix("d")) - 1), last_day)
    unreadable = UsageError(
        f"{text!r} is no period",
        remedy=f"choose {', '.join(PRESETS)}, {ALL_TIME}, or two days such as 2026-01-01..2026-03-31",
        rule="period",
    )
    found = _DATES.fullmatch(text)
    if found is None:
        raise unreadable
    try:
        start, end = date.fromisoformat(found[1]), date.fromisoformat(found[2])
    except ValueError as error:
        raise unreadable from error
    return Period(start, end)
