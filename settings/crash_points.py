"""Places at which a test can end this process as the kernel or an operator would: at once, with no handler run.

`TILLHOUSE_CRASH_AT` says where: `<point>`, or `<point>:<n>` for the n-th time that the process comes there, or
`<point>:<n>:<signal>` for another signal than KILL (`rows_inserted:1:STOP`). Where it is not set, a point costs one
look into the environment.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Literal, get_args

CRASH_VARIABLE = "TILLHOUSE_CRASH_AT"

CrashPoint = Literal[
    "run_noted",  # nothing was done but the note that a run begins
    "deliveries_numbered",  # deliveries have their numbers, none is checked
    "file_checked",  # a file is in bronze, its record is not
    "record_written",  # bronze says that a file is loaded, and nothing of it is
    "former_withdrawn",  # inside the load: a replaced delivery is gone, the new one is not in
    "rows_inserted",  # inside the load: a file's rows are in, its counts are not
    "load_uncommitted",  # inside the load: all is in but not committed
    "replacement_committed",  # a replaced delivery is gone for good, bronze does not know
    "file_loaded",  # one file, or a portion of small ones, is done, the next is not
    "all_loaded",  # the run's counts are not noted
    "ingestion_noted",  # nothing is built
    "marts_built",  # nothing of the build is noted or published
    "draft_written",  # inside the publication: readers see the former marts
    "readers_switched",  # inside the publication: readers see the new marts, nobody has noted so
    "marks_advanced",  # inside the publication: the marks are not committed
    "marks_committed",  # inside the publication: former files are not swept
    "published",  # the run's end is not noted
]
CRASH_POINTS: tuple[CrashPoint, ...] = get_args(CrashPoint)

_passed: Counter[str] = Counter()


def crash_point(name: CrashPoint) -> None:
    """End the process here, if the environment asks for it."""
    wanted = os.environ.get(CRASH_VARIABLE)
    if wanted:
        _end_if_meant(name, wanted)


def _end_if_meant(name: CrashPoint, wanted: str) -> None:
    point, _, rest = wanted.partition(":")
    if point != name:
        return
    occurrence, _, kind = rest.partition(":")
    _passed[name] += 1
    if _passed[name] == int(occurrence or 1):
        os.kill(os.getpid(), signal.Signals[f"SIG{kind or 'KILL'}"])
