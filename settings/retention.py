"""How long things are kept that nobody needs to rebuild anything. By default: always."""

from __future__ import annotations

import os
from dataclasses import dataclass

from settings.errors import ConfigurationError

QUARANTINE_VARIABLE = "TILLHOUSE_KEEP_QUARANTINE_DAYS"
UNUSED_BRONZE_VARIABLE = "TILLHOUSE_KEEP_UNUSED_BRONZE_DAYS"


@dataclass(frozen=True)
class Retention:
    """Whole days; None keeps for ever.

    Attributes:
        quarantine_days: the cells of a row in quarantine, from the day it came in.
        unused_bronze_days: rows in bronze of a delivery that is not loaded (rejected, withdrawn, replaced), from
            the day it was first seen.
    """

    quarantine_days: int | None = None
    unused_bronze_days: int | None = None

    @classmethod
    def from_environment(cls) -> Retention:
        """What the environment says.

        Raises:
            ConfigurationError: when a variable holds something else than a number of days.
        """
        return cls(_days(QUARANTINE_VARIABLE), _days(UNUSED_BRONZE_VARIABLE))

    @property
    def keeps_everything(self) -> bool:
        return self == Retention()


def _days(variable: str) -> int | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigurationError(
            f"{variable} is {text!r}, which is no number of days",
            remedy="set it to a whole number from 1, or unset it to keep everything",
            rule="retention",
        )
    return int(text)
