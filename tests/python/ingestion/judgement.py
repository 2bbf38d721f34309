"""A second opinion on single values, in plain Python: Decimal, datetime and zoneinfo, no patterns.

Each function gives the value, or the name of the rule that it breaks.
"""

# ruff: noqa: PLR0911, PLR0912 (a judgement is a list of reasons, one after the other)

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

DIGITS = set("0123456789")
PLACEHOLDERS = {date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31)}


class Rule(str):
    """The name of a broken rule, told apart from a text value."""

    __slots__ = ()


def only_digits(text: str) -> bool:
    return bool(text) and set(text) <= DIGITS


def decimal_value(text: str) -> Decimal | Rule | None:
    """A number for decimal(18,4), point notation."""
    text = text.strip(" ")
    if text == "":
        return None
    body = text[1:] if text[0] in "+-" else text
    if body.lower() in {"nan", "inf", "infinity"}:
        return Rule("not_finite")
    mantissa, exponent_mark, exponent = body.lower().partition("e")
    if exponent_mark:
        size = exponent[1:] if exponent[:1] == "+" else exponent
        plain = mantissa.replace(".", "", 1)
        if only_digits(size) and len(size) >= 3 and (plain == "" or only_digits(plain)):
            return Rule("not_finite")
        return Rule("not_a_number")
    if not only_digits(body.replace(".", "", 1)):
        return Rule("not_a_number")
    try:
        value = Decimal(text)
    except InvalidOperation:
        return Rule("not_a_number")
    fraction = body.partition(".")[2]
    if fraction[4:].strip("0"):
        return Rule("too_many_decimals")
    if abs(value) >= Decimal(10) ** 14:
        return Rule("out_of_range")
    return value


def date_value(text: str) -> date | Rule | None:
    text = text.strip(" ")
    if text == "":
        return None
    day = text[:10]
    parts = day.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not all(only_digits(part) for part in parts):
        return Rule("not_a_date")
    rest = text[10:]
    if rest:
        clock = rest[1:]
        units, _, fraction = clock.partition(".")
        midnight = units in {"00:00", "00:00:00"} and ("." not in clock or units == "00:00:00")
        if rest[0] not in " T" or not midnight or ("." in clock and (not fraction or fraction.strip("0"))):
            return Rule("not_a_date")
    if day == "0000-00-00":
        return Rule("not_a_date")
    try:
        value = date(int(parts[0]), int(parts[1]), int(parts[2]))
    except ValueError:
        return Rule("not_a_date")
    return Rule("sentinel_date") if value in PLACEHOLDERS else value


def local_times(naive: datetime, zone: str) -> list[datetime]:
    """Every UTC instant (naive) at which the clocks of the zone show this time, earliest first."""
    clock = ZoneInfo(zone)
    found = set()
    for fold in (0, 1):
        instant = naive.replace(tzinfo=clock, fold=fold).astimezone(UTC)
        if instant.astimezone(clock).replace(tzinfo=None) == naive:
            found.add(instant.replace(tzinfo=None))
    return sorted(found)


def timestamp_value(text: str, zone: str, latest: datetime) -> datetime | Rule | None:
    """An ISO 8601 point in time as naive UTC; without offset it is local to the zone."""
    text = text.strip(" ")
    if text == "":
        return None
    wrong = Rule("not_a_timestamp")
    if len(text) < 16 or text[10] not in " T":
        return wrong
    clock, offset = text[11:], None
    for mark in ("Z", "z", "UTC"):
        if clock.endswith(mark):
            clock, offset = clock[: -len(mark)].removesuffix(" "), timedelta(0)
            break
    else:
        for sign in "+-":
            if sign in clock:
                clock, _, size = clock.partition(sign)
                clock = clock.removesuffix(" ")
                digits = size.replace(":", "", 1) if size[2:3] == ":" else size
                if not only_digits(digits) or len(digits) not in {2, 4} or (":" in size and len(size) != 5):
                    return wrong
                hours, minutes = int(digits[:2]), int(digits[2:] or "0")
                if hours > 14 or minutes > 59:
                    return wrong
                offset = timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1)
                break
    units, point, fraction = clock.partition(".")
    parts = units.split(":")
    day = text[:10].split("-")
    shapes = [len(part) for part in day] == [4, 2, 2] and all(len(part) == 2 for part in parts)
    if not shapes or len(parts) not in {2, 3} or not all(only_digits(part) for part in [*day, *parts]):
        return wrong
    if point and (len(parts) != 3 or not only_digits(fraction) or fraction[6:].strip("0")):
        return wrong
    if point and len(fraction) == 0:
        return wrong
    try:
        seconds = int(parts[2]) if len(parts) == 3 else 0
        naive = datetime(*(int(p) for p in day), int(parts[0]), int(parts[1]), seconds)  # noqa: DTZ001  (naive UTC, like every moment here)
    except ValueError:
        return wrong
    naive += timedelta(microseconds=int(fraction[:6].ljust(6, "0")) if point else 0)
    if naive.date() in PLACEHOLDERS:
        return Rule("sentinel_date")
    if offset is not None:
        value = naive - offset
    else:
        instants = local_times(naive, zone)
        if not instants:
            return Rule("nonexistent_local_time")
        value = instants[0]
    if value == datetime(1970, 1, 1):  # noqa: DTZ001  (naive UTC, like every moment here)
        return Rule("sentinel_date")
    return Rule("future_date") if value > latest else value


def boolean_value(text: str) -> bool | Rule | None:
    word = text.strip(" ").lower()
    if word == "":
        return None
    if word in {"true", "t", "yes", "y", "1"}:
        return True
    return False if word in {"false", "f", "no", "n", "0"} else Rule("not_a_boolean")


def luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0
