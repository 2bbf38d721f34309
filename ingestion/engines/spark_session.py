"""Spark's session: what it is made with, when it starts, and what has to be there for it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from settings.errors import ConfigurationError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MASTER_VARIABLE = "TILLHOUSE_SPARK_MASTER"
CONFIGURATION_VARIABLE = "TILLHOUSE_SPARK_CONFIGURATION"

OLDEST_JAVA = 17
# How much of a file makes one task: seconds of work, so that starting a task does not count.
SPLIT_SETTING = "spark.sql.files.maxPartitionBytes"
SPLIT_BYTES = 32 << 20

logger = logging.getLogger(__name__)

# What the program's meaning hangs on. Nobody's configuration outranks these.
MEANING: Mapping[str, str] = {
    "spark.sql.ansi.enabled": "true",  # an overflow is an error, never a null
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.caseSensitive": "true",  # a header may have columns that differ in case alone
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.parser.singleCharacterPipeOperator.enabled": "false",
    "spark.sql.adaptive.enabled": "false",  # nothing is shuffled; planning twice costs seconds a file
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.maxRecordsPerFile": "0",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}

# What is set unless the user's configuration says otherwise. Spark's own log quotes rows when a task fails, and
# the error reaches us anyway, so it says only what is fatal.
QUIET: Mapping[str, str] = {
    "spark.app.name": "tillhouse",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "FATAL",
}

# Java interprets methods over 8,000 bytes for ever, and what Spark makes of the program is such a method.
JAVA_OPTIONS = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")
COMPILE_ALL = "-XX:-DontCompileHugeMethods"
# What stands twice behind a test that hardly any row passes (`short and (word = 'A' or word = 'B')`) is else computed
# for every row.
FAST: Mapping[str, str] = {"spark.sql.subexpressionElimination.skipForShortcutExpr": "true"}


@dataclass(frozen=True)
class SparkSettings:
    """How to reach Spark.

    Attributes:
        master: "local[*]", "spark://host:7077", "yarn", ...
        configuration: further settings by Spark's own names.
    """

    master: str = "local[*]"
    configuration: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> SparkSettings:
        """What the environment says.

        Raises:
            ConfigurationError: when the further settings are no JSON object of texts.
        """
        stated = os.environ.get(CONFIGURATION_VARIABLE, "").strip() or "{}"
        try:
            configuration = json.loads(stated)
        except ValueError:
            configuration = None
        if not isinstance(configuration, dict):
            # The text may hold a secret (keys of an object store), so it is not repeated.
            raise ConfigurationError(
                f"{CONFIGURATION_VARIABLE} is no JSON object",
                remedy=f"""write it like {CONFIGURATION_VARIABLE}='{{"spark.executor.memory": "4g"}}'""",
                rule="engine",
            )
        master = os.environ.get(MASTER_VARIABLE, "").strip() or cls.master
        return cls(master, {str(name): str(value) for name, value in configuration.items()})

    @property
    def is_local(self) -> bool:
        """Whether this process does all the work itself."""
        return re.match(r"local(\[|\Z)", self.master) is not None

    def of_a_session(self) -> dict[str, str]:
        """What every session is set to, also one over somebody else's context: what the program's meaning hangs on,
        and what makes it fast unless the configuration says otherwise.

        One part of the file makes one partition, so the order of the parts is that of their first bytes.
        """
        split = self.configuration.get(SPLIT_SETTING, str(SPLIT_BYTES))
        return {
            **{name: self.configuration.get(name, value) for name, value in FAST.items()},
            **MEANING,
            SPLIT_SETTING: split,
            "spark.sql.files.openCostInBytes": split,
        }

    def all_of_them(self) -> dict[str, str]:
        """Everything that a session is made with."""
        loopback = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        java = {name: f"{self.configuration.get(name, '')} {COMPILE_ALL}".strip() for name in JAVA_OPTIONS}
        return {
            **QUIET,
            **(loopback if self.is_local else {}),
            **self.configuration,
            **java,
            **self.of_a_session(),
        }


def require_spark() -> None:
    """Look for PySpark and Java before anything is started.

    Raises:
        ConfigurationError: when one of them is missing or too old.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigurationError(
            "the engine spark needs PySpark, which is not installed",
            remedy="install what requirements-engines.lock lists (docs/guides/spark.md), or leave out "
            "--engine spark: the embedded engine gives the same result",
            rule="engine",
        )
    java = _java()
    version = _java_version(java) if java else None
    if version is None or version < OLDEST_JAVA:
        found = f"Java {version} is too old" if version else "no Java was found"
        raise ConfigurationError(
            f"the engine spark needs Java {OLDEST_JAVA} or newer: {found}",
            remedy="install a JRE (Debian: openjdk-17-jre-headless) or point JAVA_HOME to one, or leave out "
            "--engine spark: the embedded engine gives the same result",
            rule="engine",
        )


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME", "").strip()
    return shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")


def _java_version(java: str) -> int | None:
    """The first number of what `java -version` says; None when it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603  (the user's own java)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?([0-9]+)', told.stderr + told.stdout)
    return int(found[1]) if found else None


class SparkHandle:
    """A session that starts when it is first asked for.

    Inside of a job that has a session already (AWS Glue, spark-submit), a second one over the same context is used,
    and the context is left running.
    """

    def __init__(self, settings: SparkSettings) -> None:
        self.settings = settings
        self._session: SparkSession | None = None
        self._is_ours = True

    def session(self) -> SparkSession:
        """The session.

        Raises:
            ConfigurationError: when it cannot be started.
        """
        if self._session is None:
            self._session = self._start()
        return self._session

    def _start(self) -> SparkSession:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

        running = SparkSession.getActiveSession()
        if running is not None:
            self._is_ours = False
            session = running.newSession()
        else:
            logger.info("starting Spark (%s)", self.settings.master)
            builder = SparkSession.builder.master(self.settings.master)
            for name, value in self.settings.all_of_them().items():
                builder = builder.config(name, value)
            try:
                session = builder.getOrCreate()
            except Exception as error:  # the JVM answers with classes of its own
                kind = type(error).__name__ if isinstance(error, PySparkException) else "the JVM gave up"
                raise ConfigurationError(
                    f"Spark did not start on {self.settings.master} ({kind})",
                    remedy=f"check {MASTER_VARIABLE} and {CONFIGURATION_VARIABLE}, and that the master is running",
                    rule="engine",
                ) from error
        for name, value in self.settings.of_a_session().items():
            session.conf.set(name, value)
        return session

    def close(self) -> None:
        """Stop the session, if it was started here."""
        if self._session is not None and self._is_ours:
            self._session.stop()
        self._session = None
