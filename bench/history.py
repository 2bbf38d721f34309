"""A history of orders that is loaded, built and published, and the days that follow it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import median_by_name, median_of
from bench.measure import BY_HAND_MEMORY_LIMIT, DAY_MODULE, Measurement, Told, measure_step
from bench.plans import BenchPlan
from settings.home import Home


class History:
    """One history in a home of its own; it keeps what was measured on it.

    Args:
        folder: where its home goes; `remove` takes it away.
        plan: which orders, and how many days follow them.
        tell: gets every measurement that is worth a line.
    """

    def __init__(self, folder: Path, plan: BenchPlan, *, tell: Told) -> None:
        self.plan = plan
        self._folder = folder
        self._home = Home(folder / "home")
        self._tell = tell
        self._steps: list[Measurement] = []
        self._builds: list[Measurement] = []
        self._hands: list[Measurement] = []
        self._days: list[Measurement] = []
        self._apart: list[Measurement] = []

    def build(self, *, repeats: int, by_hand: bool) -> None:
        """Load it, build it `repeats` times from what is loaded (and by hand, compared once), publish it."""
        self._steps.append(self._tell(self._generate(0)))
        self._steps.append(self._measure("ingest"))
        loaded = self._folder / "loaded.duckdb"
        shutil.copyfile(self._home.warehouse, loaded)
        hand = {"output": str(self._folder / "by_hand.duckdb"), "memory_limit": BY_HAND_MEMORY_LIMIT}
        for turn in range(repeats):
            shutil.copyfile(loaded, self._home.warehouse)
            self._builds.append(self._measure("build_models"))
            if by_hand:
                self._hands.append(self._measure("handwritten", **hand))
                if turn == 0:
                    self._measure("compare", **hand)
                Path(hand["output"]).unlink(missing_ok=True)
        loaded.unlink()
        self._steps += [median_of(taken) for taken in (self._builds, self._hands) if taken]
        self._steps.append(self._measure("publish"))

    def run_days(self) -> None:
        """The daily run of each day that is measured as it is; the first looks at all rows."""
        for delivery in range(1, self.plan.last_day + 1):
            self._generate(delivery)
            self._days.append(self._measure("day", module=DAY_MODULE, all_checks=not self._days))

    def take_day_apart(self) -> None:
        """Only load the next day and build its models, one at a time."""
        self._generate(self.plan.last_day + 1 + len(self._apart))
        self._apart.append(self._measure("day_models"))

    def result(self) -> dict[str, Any]:
        """What the page is made of."""
        first, *others = self._days
        return {
            "plan": asdict(self.plan),
            "steps": [step.as_dict() for step in self._steps],
            "build_nodes": _medians(self._builds, "nodes"),
            "first_day": first.as_dict(),
            "days": [day.as_dict() for day in others],
            "day_nodes": _medians(others, "nodes"),
            "day_stages": _medians(others, "stages"),
            "apart_nodes": _medians(self._apart, "nodes"),
            **({"by_hand": _medians(self._hands, "marts")} if self._hands else {}),
        }

    def remove(self) -> None:
        shutil.rmtree(self._folder)

    def _generate(self, delivery: int) -> Measurement:
        return measure_step(
            "generate", self._home.root, plan=asdict(self.plan), first=delivery, last=delivery
        )

    def _measure(self, step: str, **words: Any) -> Measurement:
        return self._tell(measure_step(step, self._home.root, **words))


def take_days_apart_in_turn(histories: Sequence[History]) -> None:
    """A day of each history, then the next day of each; every other round the other way round.

    They are set against each other for the size of their history alone, so a machine that is slower for a while has
    to be slower for all of them.
    """
    for turn in range(min(history.plan.apart_days for history in histories)):
        for history in histories if turn % 2 == 0 else reversed(histories):
            history.take_day_apart()


def _medians(taken: Sequence[Measurement], fact: str) -> dict[str, float]:
    return median_by_name([measurement.facts[fact] for measurement in taken])
