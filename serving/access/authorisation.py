"""Whether a role may ask a question, and what of the answer it may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from serving.access.policy import AccessPolicy, Kind, Role, RowRule
from serving.semantic import Catalogue, Filter, MetricQuery, Operator

LOCATION_KEY = "location_key"


@dataclass(frozen=True)
class Permit:
    """A question as it may be asked.

    Attributes:
        query: narrowed to the rows of the role.
        names_customers: whether its groups are told by a trait of customers, so that small ones are left out.
    """

    query: MetricQuery
    names_customers: bool


def authorise(
    query: MetricQuery,
    role: Role,
    policy: AccessPolicy,
    catalogue: Catalogue,
    *,
    location_keys: Sequence[str] = (),
) -> Permit:
    """The question as this role may ask it.

    Judged are the metrics, the public metrics that they are made of, group-bys, periods, filters and orderings. Names
    that nobody knows are judged like forbidden ones.

    Args:
        location_keys: of the locations that the caller is limited to, where the role is.

    Raises:
        AccessError: naming what the role may not see.
    """
    role.require(Kind.METRICS, (name for metric in query.metrics for name in _made_of(metric, catalogue)))
    named = [*query.group_by, *(one.dimension for one in query.filters)]
    named += [one.column for one in query.order_by if one.column not in query.metrics]
    named += [query.grain] if query.grain else []
    role.require(Kind.DIMENSIONS, named)
    if role.rows is RowRule.LOCATIONS:
        # A caller without any location sees nothing: no location has an empty key.
        own = Filter(LOCATION_KEY, Operator.IN, tuple(location_keys) or ("",))
        query = replace(query, filters=(*query.filters, own))
    names_customers = policy.customer_dimensions & set(named) or policy.customer_metrics & set(query.metrics)
    return Permit(query, bool(names_customers))


def may_be_asked(metric: str, role: Role, catalogue: Catalogue) -> bool:
    """Whether the role may see a metric and all that it is made of."""
    return all(role.may_see(Kind.METRICS, name) for name in _made_of(metric, catalogue))


def _made_of(metric: str, catalogue: Catalogue) -> set[str]:
    """The metric and the public ones among its inputs; hidden ones are parts that have no name of their own."""
    info = catalogue.metrics.get(metric)
    return {metric, *(info.inputs & set(catalogue.public_metrics) if info else ())}


def without_small_groups(
    rows: Sequence[tuple[Any, ...]], customers: Sequence[Sequence[int]], smallest: int
) -> tuple[list[tuple[Any, ...]], int]:
    """The rows whose groups have enough customers, and how many were left out.

    A figure may have several parts, each with customers of its own (who ordered, who returned): none of them may come
    from just a few. A part of nobody names nobody. Where one group alone is too small, the next smallest goes too: else
    the small one could be told from a total.

    Args:
        customers: of each row's group, by part.
        smallest: customers that a group must have.
    """
    small = {
        position for position, counts in enumerate(customers) if any(0 < count < smallest for count in counts)
    }
    others = [position for position, counts in enumerate(customers) if position not in small and any(counts)]
    if len(small) == 1 and others:
        small.add(min(others, key=lambda position: min(count for count in customers[position] if count)))
    return [row for position, row in enumerate(rows) if position not in small], len(small)
