"""Reading on Spark: the lines of a file, taken apart by SQL, in the order of the file.

Lines are read as bytes between line feeds, so Spark's own readers of CSV guess and repair nothing: a line becomes
cells by the rules of `_cells_sql`. Of each line `_block` says where in the file its part begins.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.engines.base import ValidationRequest
from ingestion.engines.reading import (
    behind_quotes_sql,
    delimited_columns,
    refuse_text_behind_quotes,
    shows_text_behind_quotes,
)
from ingestion.validation import SourceColumns

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BLOCK = "_block"
LINES_VIEW = "tillhouse_lines"
CELLS_VIEW = "tillhouse_cells"


def has_a_row_on_each_line(request: ValidationRequest) -> bool:
    """Whether the lines of the file can be taken apart one by one, on any worker.

    Cells of JSON and parquet are no text, and a line end between quotes is seen only by who has read from the
    start of the file.
    """
    facts = request.facts
    one_by_one = not facts.has_quoted_newline and not facts.has_carriage_return
    return request.feed.format == "whitespace" or (request.feed.format == "csv" and one_by_one)


def lines_source(session: SparkSession, request: ValidationRequest, file: Path) -> tuple[str, SourceColumns]:
    """A select that gives the cells of every line, and what they are.

    Raises:
        DataRejectedError: when the file as a whole cannot be used.
    """
    columns = delimited_columns(request)
    lines = session.read.option("lineSep", "\n").text(f"file://{file}")
    lines.selectExpr(
        "value", f"_metadata.file_block_start as {BLOCK}", "monotonically_increasing_id() as number"
    ).createOrReplaceTempView(LINES_VIEW)
    # The first part of the file is the first partition, whose first line has the number 0.
    first = "number > 0" if request.feed.header else "true"
    whole = f"select {_without_return('value')} as line, {BLOCK} from {LINES_VIEW} where {first}"
    if request.feed.format == "whitespace":
        return _blanks_sql(whole, columns), _carrying_block(columns)
    if shows_text_behind_quotes(request):
        every = f"select {_without_return('value')} as line from {LINES_VIEW}"
        behind = behind_quotes_sql(request, _text, "{line} rlike {pattern}", without_return="+")
        found = session.sql(f"select count(*) from ({every}) where {behind}").first()
        refuse_text_behind_quotes(request, int(found[0]) if found else 0)
    return _cells_sql(request, whole, columns), _carrying_block(columns)


def text_source(session: SparkSession, columns: SourceColumns, file: Path) -> tuple[str, SourceColumns]:
    """A select over a parquet file that holds the cells as texts already."""
    session.read.parquet(f"file://{file}").selectExpr(
        "*", f"_metadata.file_block_start as {BLOCK}"
    ).createOrReplaceTempView(CELLS_VIEW)
    return f"select * from {CELLS_VIEW}", _carrying_block(columns)


def _carrying_block(columns: SourceColumns) -> SourceColumns:
    return SourceColumns(
        columns.names, columns.overflow, columns.row_faults, columns.header_repeats, (BLOCK,)
    )


def _without_return(line: str) -> str:
    """Without the first half of CR LF."""
    return f"case when endswith({line}, '\\r') then left({line}, length({line}) - 1) else {line} end"


def _cells_sql(request: ValidationRequest, lines: str, columns: SourceColumns) -> str:
    """Cells between delimiters. One that begins with a quote ends at the next single quote, in which two quotes
    stand for one; a blank before it and blanks behind it are no part of it."""
    quote, delimiter = request.feed.quote, request.feed.delimiter
    border = re.escape(delimiter)
    cells = f"split(line, {_text(border)}, -1)"
    if quote and request.facts.has_quotes:
        mark = re.escape(quote)
        # A set of characters leaves out one of them; a longer delimiter is looked for at each place.
        plain_cell = f"[^{border}]*" if len(delimiter) == 1 else f"(?:(?!{border})[\\s\\S])*+"
        cell = f"{border}( ?{mark}(?:[^{mark}]|{mark}{mark})*+{mark} *(?={border}|\\z)|{plain_cell})"
        found = f"regexp_extract_all(concat({_text(delimiter)}, line), {_text(cell)}, 1)"
        inner = f"regexp_replace(cell, {_text(f'^ ?{mark}|{mark} *{chr(92)}z')}, '')"
        plain = f"replace({inner}, {_text(quote + quote)}, {_text(quote)})"
        ends = " or ".join(
            f"startswith(cell, {_text(begin)}) and length(cell) > {len(begin)}"
            for begin in (quote, f" {quote}")
        )
        taken = f"transform({found}, cell -> case when {ends} then {plain} else cell end)"
        cells = f"case when contains(line, {_text(quote)}) then {taken} else {cells} end"
    named = [f"c{i}" for i in range(len(columns.names))] + [f"x{i}" for i in range(columns.overflow)]
    listed = ", ".join(f"get(cells, {i}) as {name}" for i, name in enumerate(named))
    return f"select {listed}, {BLOCK} from (select {cells} as cells, {BLOCK} from ({lines}) where line <> '')"


def _blanks_sql(lines: str, columns: SourceColumns) -> str:
    """Cells between runs of blanks and tabs; the line is trimmed first, so no cell is empty."""
    count = len(columns.names)
    cells = ", ".join(f"get(cells, {i}) as c{i}" for i in range(count))
    surplus = (
        f"case when size(cells) > {count} then array_join(slice(cells, {count + 1}, size(cells)), ' ') end"
    )
    spaced = f"select trim(regexp_replace(line, '[ \\t\\r]+', ' ')) as spaced, {BLOCK} from ({lines})"
    return (
        f"select {cells}, {surplus} as x0, {BLOCK} from "
        f"(select split(spaced, ' ') as cells, {BLOCK} from ({spaced}) where spaced <> '')"
    )


def _text(text: str) -> str:
    """A text as a literal of Spark's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
