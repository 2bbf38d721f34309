"""Why a figure changed between two days: contributions that add up to the change, to the last decimal.

Everything is exact: decimals in, fractions inside, so that parts and whole are equal and not merely close.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

# Thresholds of Bhagwan et al. 2014, section 4: a member counts where it explains a tenth of the change, and a set of
# members is enough where it explains two thirds.
LEAST_OF_A_MEMBER = Fraction(10, 100)
LEAST_OF_A_SET = Fraction(67, 100)


@dataclass(frozen=True)
class Contribution:
    """One member of a dimension and its part in the change of an additive figure.

    Attributes:
        member: what it is called; None for what has no value of the dimension.
        before, after: the figure of this member on the two days.
        share: its change ÷ the whole change; None where the whole did not change.
        surprise: how much its share in the figure moved (in nats); 0 where all members moved alike.
    """

    member: str | None
    before: Decimal
    after: Decimal
    share: float | None
    surprise: float

    @property
    def change(self) -> Decimal:
        return self.after - self.before


@dataclass(frozen=True)
class DimensionChange:
    """The change of an additive figure, told by one dimension.

    Attributes:
        contributions: of all members, largest change first; they add up to the whole change.
        explaining: the fewest surprising members that explain two thirds of it; empty where none do.
    """

    dimension: str
    contributions: tuple[Contribution, ...]
    explaining: tuple[Contribution, ...]

    @property
    def change(self) -> Decimal:
        return sum((one.change for one in self.contributions), Decimal(0))

    @property
    def surprise(self) -> float:
        """Of the members that explain the change, else of all."""
        return math.fsum(one.surprise for one in self.explaining or self.contributions)


def told_by(
    dimension: str, before: Mapping[str | None, Decimal], after: Mapping[str | None, Decimal]
) -> DimensionChange:
    """The change of an additive figure by the members of one dimension.

    Contribution, explanatory power and surprise are those of Adtributor (R. Bhagwan et al., "Adtributor: Revenue
    Debugging in Advertising Systems", NSDI 2014, sections 3 and 4), with the day before as the forecast. A member
    whose figure is below 0, as where only returns came, has no share in the figure: its surprise counts it as 0.

    Args:
        before, after: the figure of each member on the two days; a member that is missing has 0.
    """
    members = sorted(before.keys() | after.keys(), key=lambda name: (name is None, name or ""))
    zero = Decimal(0)
    whole = sum(after.values(), zero) - sum(before.values(), zero)
    shares_before, shares_after = _shares(before), _shares(after)
    contributions = [
        Contribution(
            member=member,
            before=before.get(member, zero),
            after=after.get(member, zero),
            share=(
                float(Fraction(after.get(member, zero) - before.get(member, zero)) / Fraction(whole))
                if whole
                else None
            ),
            surprise=_surprise(shares_before.get(member, 0.0), shares_after.get(member, 0.0)),
        )
        for member in members
    ]
    # Python's sort is stable, so ties stay in the order of their names.
    contributions.sort(key=lambda one: -abs(one.change))
    return DimensionChange(dimension, tuple(contributions), _explaining(contributions, whole))


def most_concentrated(changes: Sequence[DimensionChange]) -> DimensionChange | None:
    """The dimension that tells most of where a change happened; None where there is none with two members.

    Among those of which a few members explain two thirds of the change, the most surprising one; where no dimension
    has such members, the most surprising of all. Equals keep the order in which they were given.
    """
    told = [one for one in changes if len(one.contributions) > 1]
    return max(told, key=lambda one: (bool(one.explaining), one.surprise), default=None)


def _shares(figures: Mapping[str | None, Decimal]) -> dict[str | None, float]:
    positive = {member: max(figure, Decimal(0)) for member, figure in figures.items()}
    whole = sum(positive.values(), Decimal(0))
    return {member: float(figure / whole) for member, figure in positive.items()} if whole else {}


def _surprise(before: float, after: float) -> float:
    """One member's part in the Jensen-Shannon divergence of two distributions (equation 4 of the paper)."""
    middle = before + after
    return 0.5 * math.fsum(part * math.log(2 * part / middle) for part in (before, after) if part > 0)


def _explaining(contributions: Sequence[Contribution], whole: Decimal) -> tuple[Contribution, ...]:
    """Algorithm 1 of the paper, for one dimension."""
    if not whole:
        return ()
    found: list[Contribution] = []
    explained = Fraction(0)
    for one in sorted(contributions, key=lambda each: -each.surprise):
        part = Fraction(one.change) / Fraction(whole)
        if part > LEAST_OF_A_MEMBER:
            found.append(one)
            explained += part
        if explained > LEAST_OF_A_SET:
            return tuple(sorted(found, key=lambda each: -abs(each.change)))
    return ()


@dataclass(frozen=True)
class Part:
    """Numerator and denominator of an average, of one member on one day."""

    amount: Decimal
    count: int


@dataclass(frozen=True)
class RateAndMix:
    """One member's part in the change of an average.

    Attributes:
        share_before, share_after: of the denominator, 0 to 1.
        average_before, average_after: the member's own average; None on a day without any.
        rate: by how much the whole average moved because this member's average did.
        mix: by how much it moved because more or fewer of the whole were of this member.
    """

    member: str | None
    share_before: Fraction
    share_after: Fraction
    average_before: Fraction | None
    average_after: Fraction | None
    rate: Fraction
    mix: Fraction


@dataclass(frozen=True)
class AverageChange:
    """The change of an average, told by one dimension; `rate` and `mix` add up to it exactly."""

    dimension: str
    members: tuple[RateAndMix, ...]
    before: Fraction
    after: Fraction

    @property
    def change(self) -> Fraction:
        return self.after - self.before

    @property
    def rate(self) -> Fraction:
        return sum((one.rate for one in self.members), Fraction(0))

    @property
    def mix(self) -> Fraction:
        return sum((one.mix for one in self.members), Fraction(0))


def average_told_by(
    dimension: str, before: Mapping[str | None, Part], after: Mapping[str | None, Part]
) -> AverageChange | None:
    """The change of an average (amount ÷ count) by the members of one dimension, which must not overlap.

    The decomposition is that of E. M. Kitagawa, "Components of a Difference Between Two Rates", Journal of the American
    Statistical Association 50 (1955), with two components: each member's average change times its mean share, and its
    change in share times its mean average. From the latter the mean of the whole average is taken off, which changes no
    sum (shares add up to 1 on both days) and lets a member pull upwards only where it is above the average. A member
    that one of the days does not have has no average there; its whole effect is one of the mix.

    Returns:
        None where one of the days has no count at all, since there is no average to compare.
    """
    counts = [sum(part.count for part in day.values()) for day in (before, after)]
    if not all(counts):
        return None
    wholes = [
        Fraction(sum((part.amount for part in day.values()), Decimal(0))) / count
        for day, count in zip((before, after), counts, strict=True)
    ]
    middle = (wholes[0] + wholes[1]) / 2
    members = []
    for member in sorted(before.keys() | after.keys(), key=lambda name: (name is None, name or "")):
        parts = [day.get(member, Part(Decimal(0), 0)) for day in (before, after)]
        shares = [Fraction(part.count, count) for part, count in zip(parts, counts, strict=True)]
        averages = [Fraction(part.amount) / part.count if part.count else None for part in parts]
        known = [one for one in averages if one is not None]
        if not known:
            continue  # a member without orders on both days; its amount is 0, since amounts are of booked orders
        first, last = (known[0] if one is None else one for one in averages)
        members.append(
            RateAndMix(
                member, shares[0], shares[1], averages[0], averages[1],
                rate=(shares[0] + shares[1]) / 2 * (last - first),
                mix=((first + last) / 2 - middle) * (shares[1] - shares[0]),
            )
        )  # fmt: skip
    members.sort(key=lambda one: -abs(one.rate + one.mix))
    return AverageChange(dimension, tuple(members), wholes[0], wholes[1])
