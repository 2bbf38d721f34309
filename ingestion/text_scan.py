"""Adding up what the lines of a text file show, block by block, with numpy and bytes methods only."""

from __future__ import annotations

import codecs

import numpy as np
import numpy.typing as npt

from ingestion.feed import Feed
from settings.errors import DataRejectedError

LF, CR, SPACE, TAB = 10, 13, 32, 9

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class FileRejectedError(DataRejectedError):
    """The whole file is refused; nothing of it was loaded. `rule` names why."""

    def __init__(self, rule: str, message: str, *, remedy: str = "") -> None:
        super().__init__(
            message,
            remedy=remedy or "ask the sender for a correct file and deliver it again",
            rule=rule,
        )
        self.message = message


class LoneCarriageReturnError(Exception):
    """A line ends with CR alone: the pass begins again and writes LF instead."""


def one_byte(character: str) -> int | None:
    """The byte of a character that is one byte in UTF-8."""
    encoded = character.encode("utf-8")
    return encoded[0] if len(encoded) == 1 else None


class TextScanner:
    """Adds up what blocks of whole lines of UTF-8 show."""

    def __init__(self, feed: Feed, *, must_be_ascii: bool) -> None:
        self._must_be_ascii = must_be_ascii
        self._is_delimited = feed.format in {"csv", "whitespace"}
        self._quote = one_byte(feed.quote) if self._is_delimited else None
        delimiter = feed.delimiter.encode("utf-8") if feed.format == "csv" else b" "
        # Of a longer delimiter the last byte is counted, which gives at least as many.
        self._delimiters = {"csv": (delimiter[-1],), "whitespace": (SPACE, TAB)}.get(feed.format, (SPACE,))
        self._blank_lines_hold_blanks = feed.format in {"whitespace", "jsonl"}
        self._delimiter_start = delimiter[0]
        self._offset = 0
        self._masks = np.empty((2, 0), dtype=np.bool_)
        self._open_quote = 0
        self._lines = 0
        self._first_odd_quote_line: int | None = None
        self._first_text_after_quote_line: int | None = None
        self._first_blanks_before_quote_line: int | None = None
        self.rows = 0
        self.filled_lines = 0
        self.delimiter_max = 0
        self.longest_line = 0
        self.last_line_start = 0
        self.last_line = b""
        self.is_ascii = True
        self.has_quotes = False
        self.has_quoted_newline = False
        self.has_edge_spaces = False
        self.has_nul = False
        self.has_lone_carriage_return = False
        self.has_control_characters = False
        self.has_tabs = False
        self.has_at_sign = False

    def scan(self, block: bytes) -> None:
        """Look at one block.

        Raises:
            FileRejectedError: rule `encoding`.
            LoneCarriageReturnError: a CR alone ends a line.
        """
        body = np.frombuffer(block, dtype=np.uint8)
        self._check_encoding(block)
        is_lf, found = self._masks_for(len(body))
        np.equal(body, LF, out=is_lf)
        # Of the characters below the blank, most files have line feeds only: one look then answers for the others.
        others = int(np.count_nonzero(np.less(body, SPACE, out=found))) - int(np.count_nonzero(is_lf))
        ends, delimiters = self._lines_of(body, is_lf, found, is_whole=block.endswith(b"\n"))
        starts = np.empty_like(ends)
        starts[0] = 0
        starts[1:] = ends[:-1] + 1
        lengths = ends - starts
        self.longest_line = max(self.longest_line, int(lengths.max()))
        has_cr = others > 0 and b"\r" in block
        blank = lengths == 0
        ends_with_cr = np.zeros(len(ends), dtype=np.bool_)
        if has_cr:
            filled = np.flatnonzero(lengths > 0)
            ends_with_cr[filled] = body[ends[filled] - 1] == CR
            blank |= ends_with_cr & (lengths == 1)
        if self._blank_lines_hold_blanks:
            blank |= delimiters + ends_with_cr == lengths
        blanks = int(np.count_nonzero(blank))
        self.filled_lines += len(ends) - blanks
        if blanks < len(ends):
            last = int(np.flatnonzero(~blank)[-1]) if blanks else len(ends) - 1
            self.last_line_start = self._offset + int(starts[last])
            self.last_line = block[starts[last] : ends[last]]
        self._find_characters(block, others)
        quotes = self._quotes_of(block, body)
        if self._is_delimited:
            self.delimiter_max = max(self.delimiter_max, int(delimiters.max()))
            if not self.has_edge_spaces and b" " in block:
                self._find_edge_spaces(body, is_lf, has_cr)
        if len(quotes) or self._open_quote:
            self._follow_quotes(body, quotes, ends, blank)
        else:
            self.rows += len(ends) - blanks
        if has_cr and self._is_delimited:
            self._find_lone_carriage_returns(block, body, quotes)
        self._open_quote = (self._open_quote + len(quotes)) % 2
        self._offset += len(block)
        self._lines += len(ends)

    def finish(self) -> None:
        """Judge what only the end can tell.

        Raises:
            FileRejectedError: rules `unclosed_quote`, `blanks_before_quote`, `text_after_quote`.
        """
        where = (
            f" (first doubtful quote in line {self._first_odd_quote_line})"
            if self._first_odd_quote_line
            else ""
        )
        if self._open_quote or (self._first_odd_quote_line is not None and self.has_quoted_newline):
            raise FileRejectedError(
                "unclosed_quote",
                f"the quotes of the file do not pair up, so its rows cannot be told apart{where}",
                remedy="have quotes inside values doubled, or set the feed's `quote` to '' if it uses none",
            )

        if self._first_blanks_before_quote_line is not None:
            raise FileRejectedError(
                "blanks_before_quote",
                f"in line {self._first_blanks_before_quote_line} more than one blank stands before an opening quote, so"
                " the delimiter between the quotes may end the cell or not",
                remedy="have the blanks between delimiter and quote left out, or set the feed's `quote` to '' if it"
                " uses none",
            )

        if self._first_text_after_quote_line is not None and self.has_quoted_newline:
            # Where every line is a row the engine looks for it; here only the pairs of quotes tell cells apart.
            raise FileRejectedError(
                "text_after_quote",
                f"in line {self._first_text_after_quote_line} text stands between a closing quote and the next"
                " delimiter",
                remedy="have quotes inside values doubled, or set the feed's `quote` to '' if it uses none",
            )

    def _check_encoding(self, block: bytes) -> None:
        if block.isascii():
            return
        self.is_ascii = False
        try:
            if self._must_be_ascii:
                block.decode("ascii")
            # A block ends where a line ends, never inside a character.
            codecs.utf_8_decode(block, "strict", True)
        except UnicodeDecodeError as error:
            line = self._lines + block.count(b"\n", 0, error.start) + 1
            raise FileRejectedError(
                "encoding",
                f"the file is not {error.encoding}: line {line} holds a byte that does not fit",
                remedy="set the feed's encoding to what the sender uses (for example cp1252)",
            ) from None

    def _masks_for(self, size: int) -> tuple[Mask, Mask]:
        """Two masks of a block, whose memory is used again: given back and taken anew it costs a tenth of the pass."""
        if self._masks.shape[1] < size:
            self._masks = np.empty((2, size), dtype=np.bool_)
        return self._masks[0, :size], self._masks[1, :size]

    def _lines_of(
        self, body: Bytes, is_lf: Mask, is_mark: Mask, *, is_whole: bool
    ) -> tuple[Positions, Positions]:
        """Where each line ends, and how many delimiters it holds; `is_mark` is written over."""
        np.equal(body, self._delimiters[0], out=is_mark)
        for delimiter in self._delimiters[1:]:
            is_mark |= body == delimiter
        is_mark |= is_lf
        marks = np.flatnonzero(is_mark)
        line_ends = np.flatnonzero(is_lf[marks])  # among the marks
        ends = marks[line_ends]
        if not is_whole:
            line_ends, ends = np.append(line_ends, len(marks)), np.append(ends, len(body))
        return ends, np.diff(line_ends, prepend=-1) - 1

    def _find_characters(self, block: bytes, controls: int) -> None:
        """`controls`: how many characters below the blank are no line feeds."""
        self.has_at_sign = self.has_at_sign or b"@" in block
        self.has_control_characters = self.has_control_characters or b"\x7f" in block
        if not controls:
            return
        tabs = block.count(b"\t")
        self.has_tabs = self.has_tabs or tabs > 0
        self.has_nul = self.has_nul or b"\0" in block
        self.has_control_characters = self.has_control_characters or controls > tabs + block.count(b"\r")

    def _find_edge_spaces(self, body: Bytes, is_lf: Mask, has_cr: bool) -> None:
        edges = [*self._delimiters]
        if has_cr:
            edges.append(CR)
        if self._quote is not None and self.has_quotes:
            edges.append(self._quote)
        is_edge = is_lf | _is_one_of(body, tuple(edges))
        is_space = body == SPACE
        self.has_edge_spaces = bool(
            is_space[0]
            or is_space[-1]
            or np.any(is_space[1:] & is_edge[:-1])
            or np.any(is_space[:-1] & is_edge[1:])
        )

    def _quotes_of(self, block: bytes, body: Bytes) -> Positions:
        if self._quote is None or self._quote not in block:
            return np.empty(0, dtype=np.intp)
        self.has_quotes = True
        return np.flatnonzero(body == self._quote)

    def _follow_quotes(
        self,
        body: Bytes,
        quotes: Positions,
        ends: Positions,
        blank: Mask,
    ) -> None:
        is_open_at_end = (np.searchsorted(quotes, ends) + self._open_quote) % 2 == 1
        # The end of the file closes nothing: `finish` sees the open quote.
        self.has_quoted_newline = self.has_quoted_newline or bool(is_open_at_end.any())
        is_open_at_start = np.append(self._open_quote == 1, is_open_at_end[:-1])
        self.rows += int(np.count_nonzero(~is_open_at_end)) - int(np.count_nonzero(blank & ~is_open_at_start))
        if self._first_odd_quote_line is not None or not len(quotes):
            return
        opens = (np.arange(len(quotes)) + self._open_quote) % 2 == 0
        padded = np.concatenate((np.array([LF], dtype=np.uint8), body, np.array([LF], dtype=np.uint8)))
        before, after = padded[quotes], padded[quotes + 2]
        edges = np.zeros(256, dtype=np.bool_)
        edges[[LF, CR, SPACE, self._quote or 0, *self._delimiters]] = True
        edges_after = edges.copy()
        edges_after[self._delimiter_start] = True
        spaced = quotes[~opens & (after == SPACE)]
        if len(spaced) and self._first_text_after_quote_line is None and SPACE not in self._delimiters:
            filled = np.flatnonzero(padded[1:] != SPACE)
            behind = padded[1:][filled[np.searchsorted(filled, spaced + 1)]]
            text = (behind != LF) & (behind != CR) & (behind != self._delimiter_start)
            if text.any():
                line = int(np.searchsorted(ends, spaced[int(np.argmax(text))]))
                self._first_text_after_quote_line = self._lines + line + 1
        spaced = quotes[opens & (before == SPACE)]
        if len(spaced) and self._first_blanks_before_quote_line is None and SPACE not in self._delimiters:
            filled = np.flatnonzero(padded != SPACE)
            ahead = filled[
                np.searchsorted(filled, spaced + 1) - 1
            ]  # where the blanks end, by places of `padded`
            begins = np.isin(padded[ahead], [LF, CR, *self._delimiters])
            several = begins & (spaced - ahead > 1)
            if several.any():
                line = int(np.searchsorted(ends, spaced[int(np.argmax(several))]))
                self._first_blanks_before_quote_line = self._lines + line + 1
        odd = np.where(opens, ~edges[before], ~edges_after[after])
        if odd.any():
            first = quotes[int(np.argmax(odd))]
            self._first_odd_quote_line = self._lines + int(np.searchsorted(ends, first)) + 1

    def _find_lone_carriage_returns(self, block: bytes, body: Bytes, quotes: Positions) -> None:
        if block.count(b"\r") == block.count(b"\r\n"):
            return
        returns = np.flatnonzero(body == CR)
        lone = returns[np.append(body, 0)[returns + 1] != LF]
        if bool(np.any((np.searchsorted(quotes, lone) + self._open_quote) % 2 == 0)):
            raise LoneCarriageReturnError
        self.has_lone_carriage_return = True


def _is_one_of(body: Bytes, wanted: tuple[int, ...]) -> Mask:
    found: Mask = body == wanted[0]
    for other in wanted[1:]:
        found |= body == other
    return found
