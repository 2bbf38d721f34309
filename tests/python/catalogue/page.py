"""Writes `docs/bad-inputs.md` from the cases: `python -m tests.python.catalogue.page`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .cases import Case
from .elsewhere import ELSEWHERE, NOT_YET
from .reading import READING

PROJECT_ROOT = Path(__file__).resolve().parents[3]
PAGE = PROJECT_ROOT / "docs" / "bad-inputs.md"
COMMAND = "python -m tests.python.catalogue.page"
READING_TEST = "tests/python/catalogue/test_reading.py"
SECTIONS = (
    (1, "The container and the encoding"),
    (16, "The structure"),
    (33, "Values"),
    (59, "Deliveries"),
    (69, "Faults"),
)
LAST_NUMBER = 76
HEAD = f"""# Bad inputs and faults, and what becomes of them

<!-- Made by `{COMMAND}` from the cases in tests/python/catalogue; a test holds it up to date. -->

Every line is a test that generates the input or injects the fault. It holds the result to the disposition and the rule
named here; to every row accounted for (read = accepted + refused + repeated + excluded), with exact sums of all decimal
columns; to a second run that changes nothing; to lineage on every row; to nothing private in any table, file or log.

| word | meaning |
|---|---|
| ACCEPT | loads as it is |
| NORM | loads after a normalisation |
| QROW | the bad rows go to quarantine, the others load |
| QFILE | the file is refused whole, the others go on |
| RETRY | nothing is kept of the try; a later one, by the job or the next run, may pass |
| FAIL | the run fails, nothing is published, the next run is safe |

Where reading a file decides, the test is `{READING_TEST}`, the last column names further
ones, and the same cases run on every engine.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections()]).rstrip() + "\n"


def references() -> Iterator[str]:
    """Every test that the page names, as path::name."""
    for case in READING:
        yield from case.elsewhere
    for covered in ELSEWHERE:
        yield from covered.tests


def _sections() -> Iterator[str]:
    starts = [start for start, _ in SECTIONS[1:]] + [LAST_NUMBER + 1]
    for (start, title), end in zip(SECTIONS, starts, strict=True):
        yield f"## {title}\n"
        yield "| # | delivered, or what goes wrong | | rule | what becomes of it | tests |"
        yield "|---|---|---|---|---|---|"
        for number in range(start, end):
            yield from _lines(number)
        yield ""


def _lines(number: int) -> Iterator[str]:
    for case in (case for case in READING if case.number == number):
        yield _line(
            number, case.title, case.disposition, _code(case.rules), _outcome(case), _named(case.elsewhere)
        )
    for covered in (covered for covered in ELSEWHERE if covered.number == number):
        rule = _code((covered.rule,)) if covered.rule else ""
        yield _line(number, covered.title, covered.disposition, rule, covered.outcome, _named(covered.tests))
    if number in NOT_YET:
        yield _line(number, NOT_YET[number], "not yet", "", "", "")


def _line(number: int, *cells: str) -> str:
    return f"| {' | '.join((str(number), *(cell.replace('|', chr(92) + '|') for cell in cells)))} |"


def _named(tests: tuple[str, ...]) -> str:
    return "<br>".join(f"`{_shown(test)}`" for test in tests)


def _shown(test: str) -> str:
    path, _, name = test.partition("::")
    return f"{Path(path).name}::{name}" if name else Path(path).name


def _code(words: tuple[str, ...]) -> str:
    return " ".join(f"`{word}`" for word in words)


def _outcome(case: Case) -> str:
    """The counts that the test holds, in words."""
    counts = {
        "accepted": len(case.accepted),
        "in quarantine": len(case.quarantined),
        "repeated": case.duplicates,
        "excluded": case.excluded,
        "in conflict": case.conflicts,
    }
    told = [f"{count} {word}" for word, count in counts.items() if count]
    if case.rejected:
        return f"refused whole{'; of the file before it ' + ', '.join(told) if told else ''}"
    rows = "1 row" if case.rows_read == 1 else f"{case.rows_read} rows"
    text = f"{rows} read: {', '.join(told)}" if told else "no rows"
    return f"{text}; the run warns" if case.warning else text


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
