"""The home folder: everything that a run writes is under it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from settings.errors import ConfigurationError

HOME_VARIABLE = "TILLHOUSE_HOME"
BRONZE_VARIABLE = "TILLHOUSE_BRONZE"
PROJECT_ROOT = Path(__file__).resolve().parent.parent


def keep_files_private() -> None:
    """Let nothing that this process makes be open to other users.

    DuckDB, dbt and Dagster make files of their own below the home folder, and ask nobody how. Whoever owns the
    process calls this: the command, and Dagster's code location.
    """
    os.umask(0o077)


@dataclass(frozen=True)
class Home:
    """Paths below `TILLHOUSE_HOME`. Nothing is created until `ensure` is called."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """The folder that `TILLHOUSE_HOME` names, else `var/` in the project."""
        named = os.environ.get(HOME_VARIABLE, "").strip()
        return cls(Path(named).expanduser().resolve() if named else PROJECT_ROOT / "var")

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def feeds(self) -> Path:
        """Feed files that a run reads when it is not told others."""
        return self.root / "feeds"

    @property
    def bronze(self) -> Path:
        """Checked files of every delivery; with a `bronze_location` the working copies of them."""
        return self.root / "bronze"

    @property
    def bronze_location(self) -> str:
        """The place that `TILLHOUSE_BRONZE` names for bronze; empty: the folder of this home."""
        return os.environ.get(BRONZE_VARIABLE, "").strip()

    @property
    def warehouse(self) -> Path:
        """The writer's database. Readers never open it."""
        return self.root / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        """The readers' database: replaced whole, by rename. Its large tables are in `published_files`."""
        return self.root / "published.duckdb"

    @property
    def published_files(self) -> Path:
        """Parquet files that the readers' database names: large tables, in parts of some days."""
        return self.root / "published"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def dbt_target(self) -> Path:
        return self.root / "dbt" / "target"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def api_keys(self) -> Path:
        """Hashes of the API's keys, with their roles."""
        return self.root / "access" / "keys.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the one process that may write."""
        return self.root / "writer.lock"

    def ensure(self) -> Home:
        """Create the folders, private to the user.

        Raises:
            ConfigurationError: when the folder cannot be made or written to.
        """
        try:
            for folder in (
                self.root, self.landing, self.feeds, self.bronze, self.reports,
                self.dagster, self.dbt_target.parent, self.dbt_target, self.logs,
            ):  # fmt: skip
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigurationError(
                f"the home folder {self.root} cannot be prepared: {error.strerror or error}",
                remedy=f"point {HOME_VARIABLE} at a folder that you may write to",
            ) from error
        return self
