"""What reading a file means, whatever engine does it: the columns it has, and when its lines cannot be trusted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ingestion.engines.base import ValidationRequest
from ingestion.validation import SourceColumns
from settings.errors import DataRejectedError

SURPLUS_CELLS_KEPT = 16
UNIT_SEPARATOR = "\x1f"


def column_names(request: ValidationRequest) -> tuple[str, ...]:
    """The names of the file's columns: its header, or what the feed says where there is none.

    Raises:
        DataRejectedError: rule `missing_header`.
    """
    if not request.feed.header:
        return request.feed.column_names
    if not request.facts.header:
        raise DataRejectedError(
            f"{request.feed.where}: {request.facts.object_name!r} has no header line",
            remedy="say `header: false` and list `column_names` if the files have none",
            rule="missing_header",
        )
    refuse_names_with_nul(request, request.facts.header)
    return request.facts.header


def refuse_names_with_nul(request: ValidationRequest, names: Iterable[str]) -> None:
    """Refuse the file where a column's name holds what no SQL text can hold.

    Raises:
        DataRejectedError: rule `nul_in_header`.
    """
    if any("\0" in name for name in names):
        raise DataRejectedError(
            f"{request.feed.where}: the name of a column of {request.facts.object_name!r} holds a NUL byte",
            remedy="ask the sender for a correct file and deliver it again",
            rule="nul_in_header",
        )


def delimited_columns(request: ValidationRequest) -> SourceColumns:
    """The columns of a delimited file: `c0, c1, ...`, and `x0, ...` for cells beyond the last of them.

    A row with fewer cells has nulls at its end, an empty cell is an empty text.
    """
    names = column_names(request)
    if request.feed.format == "whitespace":
        overflow = 1
    else:
        surplus = request.facts.delimiter_max + 1 - len(names)
        overflow = min(max(surplus, 1), SURPLUS_CELLS_KEPT)
    faults = ((f"c{len(names) - 1} is null", "short_row"), ("x0 is not null", "long_row"))
    return SourceColumns(names, overflow, faults, header_repeats=True)


def shows_text_behind_quotes(request: ValidationRequest) -> bool:
    """Whether to look for text between a closing quote and the next delimiter, which readers drop without a word.

    Where every line is a row this can be seen line by line (`behind_quotes_sql`).
    """
    facts = request.facts
    return bool(request.feed.quote) and facts.has_quotes and not facts.has_quoted_newline


def behind_quotes_sql(
    request: ValidationRequest, text: Callable[[str], str], matches: str, *, without_return: str = ""
) -> str:
    """The condition that a column `line` holds such text; a line without a quote costs no match.

    Args:
        text: makes a literal of the engine's SQL.
        matches: the condition that `{line}` matches `{pattern}`.
        without_return: what the engine writes behind a quantifier that never gives back what it took ("+" in
            Java, whose matcher would otherwise go one call deeper with each character).
    """
    quote, delimiter, line = request.feed.quote, request.feed.delimiter, "line"
    if len(delimiter) > 1:  # a set of characters cannot leave out a longer delimiter
        line, delimiter = f"replace(line, {text(delimiter)}, {text(UNIT_SEPARATOR)})", UNIT_SEPARATOR
    mark, border = re.escape(quote), re.escape(delimiter)
    often = f"*{without_return}"
    quoted = f"{mark}[^{mark}]{often}(?:{mark}{mark}[^{mark}]{often}){often}{mark}"
    plain = f" (?:[^{mark}{border}][^{border}]{often})?|[^{mark}{border} ][^{border}]{often}"
    # Cell by cell from the start of the line: a delimiter and a quote inside a quoted cell begin no cell.
    fine = f"(?:(?: ?{quoted} {often}|{plain})?{border}){often}"
    behind = f"(?:[^{mark}{border} ]| +[^{border} ])"  # blanks alone are no loss
    pattern = text(f"^{fine} ?{quoted}{behind}")
    return f"contains(line, {text(quote)}) and {matches.format(line=line, pattern=pattern)}"


def refuse_text_behind_quotes(request: ValidationRequest, lines: int) -> None:
    """Refuse the file when so many lines match the pattern.

    Raises:
        DataRejectedError: rule `text_after_quote`.
    """
    if lines:
        raise DataRejectedError(
            f"{request.feed.where}: on {lines} lines of {request.facts.object_name!r} text stands between "
            "a closing quote and the next delimiter",
            remedy='ask the sender to double quotes inside of quoted cells, or set `quote: ""` where quotes '
            "mean nothing",
            rule="text_after_quote",
        )
