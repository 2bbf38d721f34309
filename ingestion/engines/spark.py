"""The distributed engine: Spark reads the lines and runs the validation program, transpiled.

Workers write the rows in parts, one for each part of the file. The driver puts the parts together in the order of
the file; what looks across rows follows there, as for every engine (`checked_rows`). Reader and writers need the
same folders at the same paths: this one process, or a shared file system.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from pyarrow import parquet

from ingestion.bronze import CheckedMetadata
from ingestion.engines.base import EntityOutcome, ValidationRequest
from ingestion.engines.spark_reading import BLOCK, has_a_row_on_each_line, lines_source, text_source
from ingestion.engines.spark_session import SparkHandle, SparkSettings, require_spark
from ingestion.engines.spark_sql import KEY_PARAMETERS, KEY_VIEW, spark_functions, spark_sql
from ingestion.tokens import TokenKey
from ingestion.validation import SourceColumns, build_program
from settings.errors import ConfigurationError, TillhouseError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Parts are read once and written anew, so nothing is spent on making them small.
PARTS = {"compression": "lz4_raw", "parquet.enable.dictionary": "false"}
# Spark reads these in a path as patterns of names.
PATTERN_CHARACTERS = frozenset("{}[]*?\\,")


class SparkEngine:
    """Runs the validation program on Spark.

    Args:
        work: folder for lines, cells and parts while a file is validated; workers must see it at the same path.
        scratch: folder for what the driver spills, made when needed, private to the user; None to spill nothing.
        settings: how to reach Spark; None for what the environment says.
        token_key: of e-mail tokens; None for the environment's.

    Raises:
        ConfigurationError: when PySpark or Java is missing. Spark itself starts with the first file.
    """

    name = "spark"

    def __init__(
        self,
        work: Path,
        scratch: Path | None = None,
        *,
        settings: SparkSettings | None = None,
        token_key: TokenKey | None = None,
    ) -> None:
        from ingestion.engines.duckdb import DuckDBEngine

        require_spark()
        self._work = work
        self._spark = SparkHandle(settings or SparkSettings.from_environment())
        self._token_key = token_key
        self._embedded = DuckDBEngine(scratch, token_key=token_key)

    def close(self) -> None:
        """Stop Spark, if it was started here, and close what the driver holds."""
        self._spark.close()
        self._embedded.close()

    def session(self) -> SparkSession:
        """Spark's session, started when it is first asked for.

        Raises:
            ConfigurationError: when it cannot be started.
        """
        return self._spark.session()

    def validate(self, request: ValidationRequest) -> EntityOutcome:
        """Write the checked parquet and the list of repeats beside it, and count.

        Raises:
            DataRejectedError: when the file as a whole cannot be used; the text never quotes the data.
            ConfigurationError: when Spark does not start, or its workers do not see the folders of this process.
        """
        with self._work_folder() as work:
            session = self.session()
            source_sql, columns = self._source(session, request, work)
            program = build_program(request, columns, spark_functions())
            if program.needs_token_key:
                self._offer_key(session)

            def write_rows(rows_file: Path, metadata: CheckedMetadata) -> None:
                query = f"with source as ({source_sql}) {spark_sql(program.sql)}"
                parts = work / "parts"
                self._on_spark(request, lambda: self._write_parts(session.sql(query), parts))
                self._embedded.join_parts(ordered_parts(parts), BLOCK, rows_file, metadata)

            return self._embedded.finish(request, program, write_rows)

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        """A private folder for one file, removed at the end."""
        folder = self._work.resolve()
        if PATTERN_CHARACTERS & set(str(folder)):
            raise ConfigurationError(
                f"the path {str(folder)!r} has characters that Spark reads as a pattern",
                remedy=f"use a TILLHOUSE_HOME without any of {' '.join(sorted(PATTERN_CHARACTERS))}",
                rule="engine",
            )
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="spark-") as own:
            yield Path(own)

    def _source(
        self, session: SparkSession, request: ValidationRequest, work: Path
    ) -> tuple[str, SourceColumns]:
        if has_a_row_on_each_line(request):
            # Under a name of ours: Spark passes over names with `_` in front and judges others by their ending.
            lines = work / "lines.text"
            lines.symlink_to(request.facts.path.resolve())
            return self._on_spark(request, lambda: lines_source(session, request, lines))
        cells = work / "cells.parquet"
        columns = self._embedded.write_text(request, cells)
        return self._on_spark(request, lambda: text_source(session, columns, cells))

    def _offer_key(self, session: SparkSession) -> None:
        """Make the key readable for the program: as a value in memory, which no plan and no log shows."""
        key = self._token_key or TokenKey.from_environment()
        # From Arrow, because Spark would start Python on its workers for a row of Python's.
        pads = pa.table({name: pa.array([getattr(key, name)], pa.binary()) for name in KEY_PARAMETERS})
        session.createDataFrame(pads).createOrReplaceTempView(KEY_VIEW)

    def _write_parts(self, rows: DataFrame, parts: Path) -> None:
        """Write the rows; on a cluster make sure that what the workers wrote has come here."""
        if self._spark.settings.is_local:
            rows.write.options(**PARTS).parquet(f"file://{parts}")
            return
        from pyspark.sql import Observation
        from pyspark.sql.functions import count, lit

        seen = Observation()
        observed = rows.observe(seen, count(lit(1)).alias("rows"))
        observed.write.options(**PARTS).parquet(f"file://{parts}")
        here = sum(int(parquet.read_metadata(part).num_rows) for part in parts.glob("part-*"))
        if here != int(seen.get["rows"]):
            raise _not_shared(parts.parent)

    def _on_spark(self, request: ValidationRequest, work: Callable[[], Result]) -> Result:
        """Do something on Spark. What Spark says about a failure may quote a row, so only its kind is told."""
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            return work()
        except (PySparkException, Py4JError) as error:
            told = str(error)
            missing = "FileNotFoundException" in told or "PATH_NOT_FOUND" in told or "FILE_NOT_EXIST" in told
            kind = (error.getCondition() if isinstance(error, PySparkException) else None) or type(
                error
            ).__name__
        if missing and not self._spark.settings.is_local:
            raise _not_shared(self._work)
        raise TillhouseError(
            f"{request.feed.where}: Spark failed on {request.facts.object_name!r} ({kind})",
            remedy="run again; if it fails again, look into the logs of Spark's workers, or use the embedded engine",
            rule="engine",
        )


def _not_shared(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"Spark's workers do not see the folder {folder} as this process does",
        remedy="put TILLHOUSE_HOME and the landing folders on a file system that driver and workers mount at the "
        "same path, or set TILLHOUSE_SPARK_MASTER=local[*] (docs/guides/spark.md)",
        rule="engine",
    )


def ordered_parts(parts: Path) -> list[Path]:
    """The files that hold rows, in the order of the source file.

    Each holds the rows of one part of it, and `_block` says where that part begins: so much is asked of Spark,
    and checked here by the figures in the footers.
    """
    begins: dict[int, Path] = {}
    for file in parts.glob("part-*.parquet"):
        footer = parquet.read_metadata(file)
        if not footer.num_rows:
            continue
        place = footer.schema.to_arrow_schema().get_field_index(BLOCK)
        found = {
            bound
            for number in range(footer.num_row_groups)
            for statistics in [footer.row_group(number).column(place).statistics]
            for bound in (statistics.min, statistics.max)
        }
        if len(found) != 1 or found & begins.keys():
            raise TillhouseError(
                "Spark mixed parts of the file: the order of its rows is lost", rule="engine"
            )
        begins[found.pop()] = file
    return [begins[begin] for begin in sorted(begins)] or sorted(parts.glob("part-*.parquet"))[:1]
