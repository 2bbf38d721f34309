"""What dashboards show one viewer: answers of cards, the rows behind them, and why something is not shown.

No face is known here. Answers are kept as long as their publication is the present one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from serving.access.answers import Answer, Answers, Viewer
from serving.access.authorisation import LOCATION_KEY, authorise
from serving.access.policy import Kind, RowRule
from serving.dashboards.definitions import Card, Dashboard, load_dashboards
from serving.dashboards.questions import (
    Filters,
    MartQuestion,
    Question,
    ask,
    require_published,
    rows_behind,
)
from serving.marts import PublishedMart
from serving.semantic import Catalogue, MetricQuery
from settings.errors import AccessError

# A page asks some twenty questions; this is a few hundred kilobytes for most of them.
KEPT_ANSWERS = 500
MOST_LOCATIONS = 10_000


@dataclass(frozen=True)
class Location:
    """A location that a reader may choose.

    Attributes:
        name: `system:location id`, as addresses and keys name it.
        label: what is shown.
    """

    name: str
    key: str
    label: str


@dataclass(frozen=True)
class Choices:
    """What a viewer may choose in the filters; empty where the role may not be told."""

    systems: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
    categories: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    last_day: date | None = None


@dataclass(frozen=True)
class CardAnswer:
    """The figures of a card.

    Attributes:
        previous: those of the period before, where the card compares and a period is chosen.
    """

    question: Question
    answer: Answer
    previous: Answer | None = None


@dataclass(frozen=True)
class Sight:
    """What the policy lets one viewer see.

    Attributes:
        reasons: dashboard and card → why it is hidden; empty where it is not.
    """

    reasons: Mapping[tuple[str, str], str]

    def hidden(self, dashboard: Dashboard, card: Card) -> str:
        """Why the viewer may not see a card; empty where it may."""
        return self.reasons[dashboard.name, card.name]

    def shown(self, dashboard: Dashboard) -> tuple[Card, ...]:
        """The cards of a dashboard that the viewer may see."""
        return tuple(card for card in dashboard.cards if not self.hidden(dashboard, card))


@dataclass
class Boards:
    """The dashboards over what is published. Safe to use from several threads."""

    answers: Answers
    dashboards: tuple[Dashboard, ...] = field(default_factory=load_dashboards)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _kept: OrderedDict[str, Answer] = field(default_factory=OrderedDict, init=False, repr=False)

    def require_published(self) -> None:
        """Refuse definitions that do not fit what is published.

        Raises:
            ConfigurationError: see `questions.require_published`.
        """
        require_published(self.dashboards, self.answers.client, self.answers.marts(), self.answers.policy)

    def sight(self, viewer: Viewer) -> Sight:
        """Which cards of all dashboards a viewer may see, and why not the others."""
        catalogue, marts = self.answers.client.catalogue(), self.answers.marts()
        return Sight(
            {
                (dashboard.name, card.name): self._hidden(viewer, card, catalogue, marts)
                for dashboard in self.dashboards
                for card in dashboard.cards
            }
        )

    def _hidden(
        self, viewer: Viewer, card: Card, catalogue: Catalogue, marts: Mapping[str, PublishedMart]
    ) -> str:
        role = viewer.role
        try:
            if card.mart is not None:
                role.require(Kind.MARTS, [card.mart])
                _require_place(viewer, card.mart, marts)
                return ""
            query = MetricQuery(metrics=card.metrics, group_by=card.by, grain=next(iter(card.grains), None))
            authorise(query, role, self.answers.policy, catalogue)
        except AccessError as error:
            return error.problem
        if role.rows is RowRule.LOCATIONS:
            placeless = [
                name for name in card.metrics if LOCATION_KEY not in self.answers.client.dimensions_of(name)
            ]
            if placeless:
                return (
                    f"the role {role.name} sees its own locations alone, and {', '.join(placeless)} has none"
                )
        return ""

    def hidden_rows(self, viewer: Viewer, card: Card) -> str:
        """Why a viewer may not see the rows behind a card; empty where it may."""
        if card.drill is None:
            return "no rows stand behind this figure"
        try:
            viewer.role.require(Kind.MARTS, [card.drill])
            _require_place(viewer, card.drill, self.answers.marts())
        except AccessError as error:
            return error.problem
        return ""

    def card(self, viewer: Viewer, dashboard: Dashboard, card: Card, filters: Filters) -> CardAnswer:
        """The figures of a card under these filters.

        Raises:
            AccessError: when the viewer may not see them.
            NotFoundError, UnavailableError: see `Answers`.
        """
        question = ask(card, dashboard, filters)
        previous = self._answer(viewer, question.previous) if question.previous else None
        return CardAnswer(question, self._answer(viewer, question.source), previous)

    def rows(
        self, viewer: Viewer, dashboard: Dashboard, card: Card, filters: Filters, *, limit: int
    ) -> CardAnswer:
        """The rows that stand behind a card, newest first.

        Raises:
            AccessError: when the viewer may not see them.
            UsageError: when the card has none.
        """
        question = rows_behind(card, dashboard, filters, self.answers.marts(), limit=limit)
        return CardAnswer(question, self._answer(viewer, question.source))

    def choices(self, viewer: Viewer) -> Choices:
        """What the filters offer this viewer."""
        last_day = max(self.answers.origin().as_of_dates.values(), default=None)

        def values(*dimensions: str) -> Sequence[tuple[Any, ...]]:
            query = MetricQuery(("orders",), dimensions, limit=MOST_LOCATIONS)
            try:
                return self._answer(viewer, query).rows
            except AccessError:
                return ()

        places = values("system", "location", "location_name", "location_key")
        return Choices(
            systems=tuple(row[0] for row in values("system") if row[0]),
            locations=tuple(
                Location(f"{system}:{identifier}", key, f"{name} ({system})")
                for system, identifier, name, key, _ in places
                if identifier is not None
            ),
            categories=tuple(row[0] for row in values("category") if row[0]),
            channels=tuple(row[0] for row in values("channel") if row[0]),
            last_day=last_day,
        )

    def _answer(self, viewer: Viewer, source: MetricQuery | MartQuestion) -> Answer:
        if isinstance(source, MartQuestion):
            rows = source
            return self._once(
                viewer,
                source,
                lambda: self.answers.groups(viewer, rows.query, rows.arguments, limit=rows.limit),
            )
        query = source
        return self._once(viewer, source, lambda: self.answers.query(viewer, query))

    def _once(self, viewer: Viewer, question: object, answer: Callable[[], Answer]) -> Answer:
        stamp = self.answers.client.publication()
        key = repr((stamp, viewer.role.name, viewer.locations, question))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = answer()
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)
        return found


def _require_place(viewer: Viewer, mart: str, marts: Mapping[str, PublishedMart]) -> None:
    if viewer.role.rows is not RowRule.LOCATIONS:
        return
    if mart in marts and LOCATION_KEY not in marts[mart].columns:
        raise AccessError(
            f"the role {viewer.role.name} sees its own locations alone, and {mart} has none",
            rule="access_policy",
        )
