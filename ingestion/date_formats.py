"""Declared date and timestamp formats, turned into one pattern and a rearrangement that any engine can run.

Engines read formats differently (padding, case, trailing text), so none of their parsers is used: the text
must match the whole pattern, its parts are put into ISO order, and the ISO text is cast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache

EPOCH_FORMATS = {"epoch_seconds": 1, "epoch_milliseconds": 1000}
DAYS_SINCE = "days_since "

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_TWO_DIGITS = {"m", "d", "H", "I", "M", "S"}
_OTHER = {
    "Y": "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})",
    "y": "[0-9]{2}",
    "f": "[0-9]{1,6}",
    "p": "[ap][.]?m[.]?",
    "b": "|".join(month[:3] for month in MONTHS),
    "B": "|".join(MONTHS),
    "z": "z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9]",
}
DIRECTIVES = tuple(sorted(_TWO_DIGITS | set(_OTHER)))


@dataclass(frozen=True)
class DateFormat:
    """A declared format.

    Attributes:
        layout: as declared.
        pattern: whole-text pattern (RE2 and Java) for the lower-cased text, one group per directive.
        groups: directive letter → number of its group.
        epoch_scale: units per second for counted seconds, None for calendar formats.
        day_zero: the day that has the number 0, where days are counted.
    """

    layout: str
    pattern: str
    groups: dict[str, int]
    epoch_scale: int | None = None
    day_zero: date | None = None

    @property
    def has_time(self) -> bool:
        return self.epoch_scale is not None or bool({"H", "I"} & set(self.groups))


@cache
def compile_format(layout: str) -> DateFormat:
    """Read a format of strptime directives (or `epoch_seconds`, `epoch_milliseconds`, `days_since 1899-12-30`).

    A two-digit directive also takes one digit where a separator stands on both sides ("1/2/2024"); where
    digits touch ("%Y%m%d") it takes exactly two. Letters match in any case. `%y` counts 69–99 as 19xx.

    Raises:
        ValueError: for an unknown or repeated directive, or when year, month or day is missing.
    """
    if layout in EPOCH_FORMATS:
        return DateFormat(layout, r"^-?[0-9]{1,15}\z", {}, EPOCH_FORMATS[layout])
    if layout.startswith(DAYS_SINCE):
        return _counted_days(layout)
    parts = re.findall(r"%.|[^%]|%$", layout)
    groups: dict[str, int] = {}
    pattern = ""
    for position, part in enumerate(parts):
        if not part.startswith("%"):
            pattern += re.escape(part.lower()) if not part.isspace() else "[ ]"
            continue
        letter = part[1:]
        if letter == "%":
            pattern += "%"
            continue
        if letter not in DIRECTIVES:
            raise ValueError(
                f"{part!r} of the format {layout!r} is not supported; use %{' %'.join(DIRECTIVES)}"
            )
        if letter in groups:
            raise ValueError(f"{part!r} stands twice in the format {layout!r}")
        groups[letter] = len(groups) + 1
        if letter in _TWO_DIGITS:
            beside = [parts[position - 1]] if position else []
            beside += parts[position + 1 : position + 2]
            touching = any(other.startswith("%") or other.isdigit() for other in beside)
            pattern += "([0-9]{2})" if touching and not _letters_beside(beside) else "([0-9]{1,2})"
        else:
            pattern += f"({_OTHER[letter]})"
    named = set(groups)
    if not named & {"Y", "y"} or not named & {"m", "b", "B"} or "d" not in named:
        raise ValueError(f"the format {layout!r} needs a year, a month and a day")
    if ("I" in named) != ("p" in named) or {"H", "I"} <= named:
        raise ValueError(f"the format {layout!r} needs %H alone, or %I together with %p")
    if named & {"M", "S", "f", "z"} and not named & {"H", "I"}:
        raise ValueError(f"the format {layout!r} has minutes or an offset, but no hour")
    return DateFormat(layout, f"^{pattern}\\z", groups)


def _counted_days(layout: str) -> DateFormat:
    try:
        zero = date.fromisoformat(layout.removeprefix(DAYS_SINCE).strip())
    except ValueError:
        raise ValueError(
            f"{layout!r} needs the day with the number 0, as in 'days_since 1899-12-30'"
        ) from None
    # Six digits stay within the calendar; whole numbers out of a table of floats have ".0" behind them.
    return DateFormat(layout, r"^(-?[0-9]{1,6})([.]0*)?\z", {}, day_zero=zero)


def _letters_beside(beside: list[str]) -> bool:
    """Whether every touching neighbour is a word ("%I%p"): then the width of the digits is still clear."""
    return all(other in {"%p", "%b", "%B", "%z"} or not other.startswith("%") for other in beside)
