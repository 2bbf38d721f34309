"""Write the files of a sample company, delivery by delivery, as `tillhouse generate` does."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample_data.company import Company
from sample_data.delivered import Delivered
from sample_data.dirt import soil
from sample_data.files import DeliveryFile
from sample_data.inventory import in_alert
from sample_data.plan import SamplePlan, SampleReport
from sample_data.randomness import stream
from sample_data.sources import SOURCES, Source
from sample_data.trading import Block
from sample_data.truth import FileTruth, Truth
from settings.errors import ConfigurationError, UsageError

_ORDER_LINES = ("store_order_items", "restaurant_order_items")


def generate(
    plan: SamplePlan,
    landing: Path,
    *,
    first_delivery: int = 0,
    last_delivery: int | None = None,
    truth: Path | None = None,
) -> SampleReport:
    """Write deliveries of the sample company to `landing/<feed>/<feed>_<YYYYMMDD>.csv`.

    Delivery 0 is the history, 1 to `plan.deliveries` are one business day each. The bytes of a delivery
    do not depend on which others are written with it. Files that exist are replaced by the same content.

    Args:
        truth: file for the counts of what these deliveries hold, and for the true price intervals (JSON).

    Raises:
        UsageError: when the plan has no such deliveries.
        ConfigurationError: when a file cannot be written.
    """
    last = plan.deliveries if last_delivery is None else last_delivery
    if not 0 <= first_delivery <= last <= plan.deliveries:
        raise UsageError(
            f"deliveries {first_delivery} to {last} are not in a plan with deliveries 0 to {plan.deliveries}",
            remedy="choose deliveries of the plan, the first not after the last",
            rule="sample_plan",
        )
    company = Company(plan)
    counted = Truth(plan, first_delivery, last)
    try:
        report = _Writer(company, landing, counted, first_delivery, last).run()
    except OSError as error:
        raise ConfigurationError(
            f"the sample files in {landing} cannot be written: {error.strerror or error}",
            remedy="make room on the disk or name another landing folder, then generate again",
        ) from error
    if truth is not None:
        catalogue, last_day = company.catalogue, company.delivery_days(last)[-1]
        counted.catalogue = {
            "price_intervals": catalogue.price_intervals(last),
            "catalogue_corrections": catalogue.corrections(),
            "discontinued_products": catalogue.discontinued(last),
            "products_in_alert": in_alert(catalogue, company.counts, last_day),
        }
        counted.write(truth)
    return report


class _Writer:
    """Takes what arrives from the blocks and brings it into files, one delivery after the other."""

    def __init__(self, company: Company, landing: Path, truth: Truth, first: int, last: int) -> None:
        self.company, self.plan = company, company.plan
        self.landing, self.truth, self.first, self.last = landing, truth, first, last
        self.waiting: dict[int, dict[str, list[Delivered]]] = {}
        self.former: list[Delivered] = []  # a file of the delivery before that comes again
        self.open: dict[str, tuple[str, DeliveryFile, FileTruth]] = {}
        self.history_stamp = self.plan.delivery_stamp(0)
        self.paths: list[Path] = []
        self.rows = self.order_lines = self.bytes_written = 0
        self.parts = max((block.part for block in company.blocks), default=0) + 1

    def run(self) -> SampleReport:
        # A file that comes again is a copy of one of the delivery before.
        start = self.first - 1 if _resent_feed(self.first) else self.first
        with ExitStack() as unfinished:
            unfinished.callback(self._abandon)
            if self.first == 0:
                self._write_history_lists()
            for block in self.company.blocks_for(start, self.last):
                for system in (self.company.store, self.company.restaurant):
                    for piece in system.block(block):
                        self._take(piece, block)
                if block.delivery > 0:
                    self._close_history()
                if block.delivery >= max(start, 1):
                    self._write_daily(block.delivery)
                self.waiting.pop(block.delivery, None)
            self._close_history()
        return SampleReport(
            files=len(self.paths),
            rows=self.rows,
            order_lines=self.order_lines,
            bytes_written=self.bytes_written,
            paths=tuple(self.paths),
        )

    def _take(self, piece: Delivered, block: Block) -> None:
        if piece.delivery > 0:
            if piece.delivery <= self.last:
                self.waiting.setdefault(piece.delivery, {}).setdefault(piece.feed, []).append(piece)
        elif self.first == 0:
            suffix = f"_part{block.part + 1:03d}" if self.parts > 1 else ""
            self._write_history(piece, number=block.index, suffix=suffix)

    # -- the history ------------------------------------------------------------------------------------

    def _write_history(self, piece: Delivered, *, number: int, suffix: str = "") -> None:
        """Append to the open file of the feed; each part of the history has its own."""
        if piece.feed in self.open and self.open[piece.feed][0] != suffix:
            self._close(piece.feed)
        if piece.feed not in self.open:
            self.open[piece.feed] = (suffix, *self._begin(SOURCES[piece.feed], self.history_stamp + suffix))
        _, file, tally = self.open[piece.feed]
        self._write_rows(file, tally, [piece], number=number)
        self._count([piece])

    def _close(self, feed: str) -> None:
        _, file, tally = self.open.pop(feed)
        self._finish(feed, 0, file, tally)

    def _close_history(self) -> None:
        """Give the history's files their names; one of them comes twice."""
        wrote_returns = "store_returns" in self.open
        for feed in list(self.open):
            self._close(feed)
        if wrote_returns:
            tally = self.truth.of("store_returns", 0).files[-1]
            original = self.landing / "store_returns" / tally.name
            copy = original.with_name(f"{original.stem}_copy{original.suffix}")
            partial = copy.with_name(f".{copy.name}.partial")
            shutil.copyfile(original, partial)
            partial.chmod(0o600)
            partial.replace(copy)
            self._add_repeated("store_returns", 0, copy, original.name, tally.rows)

    def _abandon(self) -> None:
        """Leave no half files behind."""
        for _, file, _ in self.open.values():
            file.abandon()

    def _write_history_lists(self) -> None:
        """Customers, stock counts, places and the calendar: one file each. Price lists: one a time."""
        for number, piece in enumerate(self.company.master_rows(0)):
            self._write_history(piece, number=number)
        for feed in list(self.open):
            self._close(feed)
        self._write_price_lists(0)

    def _write_price_lists(self, delivery: int) -> None:
        catalogue = self.company.catalogue
        for number, extract in enumerate(catalogue.extracts):
            if extract.delivery == delivery:
                rows = catalogue.extract_rows(number)
                piece = Delivered("store_products", delivery, rows, {"listed": rows.num_rows})
                self._write_whole([piece], catalogue.file_stamp(number), number=number)

    # -- one day ----------------------------------------------------------------------------------------

    def _write_daily(self, delivery: int) -> None:
        stamp = self.plan.delivery_stamp(delivery)
        pieces = self.waiting.get(delivery, {})
        if delivery >= self.first:
            for piece in self.company.master_rows(delivery):
                pieces.setdefault(piece.feed, []).append(piece)
            for feed in SOURCES:
                if feed in pieces:
                    self._write_whole(pieces[feed], stamp, number=0)
            self._write_price_lists(delivery)
            if self.former:
                self._write_again(delivery, stamp)
        again = _resent_feed(delivery + 1)
        self.former = pieces.get(again, []) if again else []

    def _write_again(self, delivery: int, stamp: str) -> None:
        """Write a file of the delivery before once more, under a name of this one."""
        feed = self.former[0].feed
        file, tally = self._begin(SOURCES[feed], f"{stamp}_resent")
        with file:
            self._write_rows(file, tally, self.former, number=0)
            file.close()
        original = f"{feed}_{self.plan.delivery_stamp(delivery - 1)}{_suffix(SOURCES[feed])}"
        self._add_repeated(feed, delivery, file.path, original, tally.rows)

    # -- any file ---------------------------------------------------------------------------------------

    def _begin(self, source: Source, stamp: str) -> tuple[DeliveryFile, FileTruth]:
        name = f"{source.feed}_{stamp}{_suffix(source)}"
        return DeliveryFile(self.landing / source.feed, name, source), FileTruth(name)

    def _write_whole(self, pieces: list[Delivered], stamp: str, *, number: int) -> None:
        file, tally = self._begin(SOURCES[pieces[0].feed], stamp)
        with file:
            self._write_rows(file, tally, pieces, number=number)
            self._finish(pieces[0].feed, pieces[0].delivery, file, tally)
        self._count(pieces)

    def _write_rows(
        self, file: DeliveryFile, tally: FileTruth, pieces: list[Delivered], *, number: int
    ) -> None:
        """Append pieces of one feed and delivery as one, with the dirt that belongs there."""
        feed, delivery = pieces[0].feed, pieces[0].delivery
        source = SOURCES[feed]
        rows = pa.concat_tables([piece.rows for piece in pieces]).combine_chunks()
        held = [
            piece.once if piece.once is not None else np.zeros(piece.rows.num_rows, dtype=np.bool_)
            for piece in pieces
        ]
        # Each feed has its turn: a day without any broken or repeated row in a feed is possible, too.
        turn = delivery + list(SOURCES).index(feed)
        first_of_history = len(source.faults) if delivery == 0 and number == 0 else 0
        soiled = soil(
            rows,
            source,
            stream(self.plan.seed, "dirt", feed, delivery, number),
            bad_share=self.plan.bad_rows,
            duplicate_share=self.plan.duplicate_rows,
            at_least_bad=first_of_history if delivery == 0 else int(turn % 2 == 0),
            at_least_duplicates=2 if first_of_history else int(turn % 3 == 0),
            once=np.concatenate(held),
        )
        written = soiled.rows
        for column in source.decimal_comma:
            position = written.schema.get_field_index(column)
            texts = pc.replace_substring(written.column(position), pattern=".", replacement=",")
            written = written.set_column(position, column, texts)
        file.write(written, soiled.misshapen)
        tally.rows += soiled.written
        tally.exact_duplicates += soiled.exact_duplicates
        tally.bad_rows.update(soiled.bad_rows)
        tally.excluded_rows += sum(piece.facts.get("excluded_rows", 0) for piece in pieces)

    def _finish(self, feed: str, delivery: int, file: DeliveryFile, tally: FileTruth) -> None:
        self.bytes_written += file.close()
        self.paths.append(file.path)
        self.truth.of(feed, delivery).files.append(tally)
        self.rows += tally.rows
        if feed in _ORDER_LINES:
            self.order_lines += tally.rows

    def _add_repeated(self, feed: str, delivery: int, path: Path, original: str, rows: int) -> None:
        self.paths.append(path)
        self.bytes_written += path.stat().st_size
        self.rows += rows
        self.truth.repeated_files.append(
            {"feed": feed, "delivery": delivery, "name": path.name, "same_as": original, "rows": rows}
        )

    def _count(self, pieces: list[Delivered]) -> None:
        for piece in pieces:
            self.truth.of(piece.feed, piece.delivery).facts.update(piece.facts)


def _suffix(source: Source) -> str:
    return ".csv.gz" if source.gzipped else ".csv"


def _resent_feed(delivery: int) -> str | None:
    """The feed of which a delivery brings the former delivery's file again, if any."""
    resent = [source.feed for source in SOURCES.values() if source.resent]
    return resent[delivery // 5 % len(resent)] if delivery % 5 == 3 else None
