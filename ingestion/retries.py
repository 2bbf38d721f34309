"""Trying again what may pass: a bounded number of times, with growing pauses of a drawn length."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from settings.errors import UnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# At worst half a minute of pauses: longer troubles are the scheduler's, which runs the whole step again.
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


class PassingError(Exception):
    """A trouble that another try may not meet; the text says which, and holds no data."""


def with_retries(work: Callable[[], T], *, doing: str, remedy: str) -> T:
    """What `work` gives, tried again after each `PassingError`.

    A pause is drawn evenly from none to twice, four times ... the first one, so that many clients that were turned
    away together do not come back together.

    Args:
        work: safe to be done again from its start.
        doing: what it does, for messages ("reading s3://bucket/key").
        remedy: what a person does when it never passes.

    Raises:
        UnavailableError: when every try met one.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except PassingError as error:
            if attempt == ATTEMPTS:
                raise UnavailableError(
                    f"{doing} failed {ATTEMPTS} times, the last time because {error}",
                    remedy=remedy,
                    rule="unavailable",
                ) from None
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt)
            logger.info("%s: %s; trying again (%d of %d)", doing, error, attempt + 1, ATTEMPTS)
            pause(random.uniform(0, longest))  # noqa: S311  (no secret hangs on it)
    raise AssertionError("unreachable")


def pause(seconds: float) -> None:
    """Wait. Tests put another in its place."""
    time.sleep(seconds)
