"""The figures of the dashboards, asked without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from serving.semantic import Filter, MetricQuery, Operator, SemanticClient


@dataclass
class Metrics:
    """Figures by the semantic client alone, without any code of the dashboards."""

    client: SemanticClient
    last_day: date

    def days(self, length: int) -> tuple[Filter, Filter]:
        """The last days, as two conditions."""
        first = self.last_day - timedelta(days=length - 1)
        return (
            Filter("day", Operator.GREATER_OR_EQUAL, (first,)),
            Filter("day", Operator.LESS_OR_EQUAL, (self.last_day,)),
        )

    def figure(self, metric: str, filters: Sequence[Filter] = ()) -> Any:
        """One figure over all that the filters leave."""
        ((value,),) = self.client.query(MetricQuery((metric,), filters=tuple(filters))).rows
        return value
