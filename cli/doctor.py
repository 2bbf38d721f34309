"""`tillhouse doctor`: is this machine ready, in plain words."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import say
from settings.errors import ConfigurationError, ExitCode, TillhouseError
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.writer_lock import writer_lock

LEAST_FREE_GIB = 2.0
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is fine, what was found, and what to do where it is not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    optional: bool = False


def examine(home: Home, target: str = DEFAULT_TARGET) -> list[Finding]:
    """Look at Python, packages, project files, the home folder, feeds, the warehouse, buckets and databases."""
    checks: list[Callable[[], Finding]] = [
        _python,
        lambda: _package("duckdb", "the embedded warehouse"),
        lambda: _package("dbt-duckdb", "models and tests"),
        lambda: _package("dagster", "the daily run"),
        _profile,
        lambda: _home(home),
        lambda: _disk(home),
        lambda: _feeds(home),
        lambda: _warehouse(home) if target == DEFAULT_TARGET else _server(home, target),
        _token_key,
    ]
    return [*(check() for check in checks), *_places(home)]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def doctor(target: Target = DEFAULT_TARGET) -> int:
        """Say whether this machine is ready, and what to do.

        A `note` is no hindrance; `BAD` is.

        \b
        Examples:  tillhouse doctor
                   tillhouse doctor --target postgres
        """
        findings = examine(Home.from_environment(), target)
        for finding in findings:
            mark = "ok  " if finding.ok else ("note" if finding.optional else "BAD ")
            say(f"{mark}  {finding.name}: {finding.found}")
            if not finding.ok and finding.remedy:
                say(f"      what to do: {finding.remedy}")
        ready = all(finding.ok or finding.optional for finding in findings)
        say("ready" if ready else "not ready: mend what is marked BAD, then ask again")
        return int(ExitCode.OK if ready else ExitCode.CONFIGURATION)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("Python", sys.version_info[:2] >= OLDEST_PYTHON, version, "install Python 3.11 or newer")


def _package(name: str, purpose: str) -> Finding:
    try:
        return Finding(name, True, f"{metadata.version(name)} ({purpose})")
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"missing ({purpose})", "run `make setup`")


def _profile() -> Finding:
    folder = Path(os.environ.get("DBT_PROFILES_DIR") or PROJECT_ROOT)
    path = folder / "profiles.yml"
    return Finding(
        "profile", path.is_file(), str(path), "run `make setup`, or copy profiles.example.yml to it"
    )


def _home(home: Home) -> Finding:
    try:
        home.ensure()
        with writer_lock(home):
            return Finding("home folder", True, str(home.root))
    except ConfigurationError as error:
        return Finding(
            "home folder", False, error.problem, f"set {HOME_VARIABLE} to a folder you may write to"
        )
    except TillhouseError as error:
        return Finding("home folder", True, f"{home.root} ({error.problem})", optional=True)


def _disk(home: Home) -> Finding:
    folder = next(folder for folder in (home.root, *home.root.parents) if folder.is_dir())
    free = shutil.disk_usage(folder).free / 2**30
    return Finding(
        "free disk",
        free >= LEAST_FREE_GIB,
        f"{free:.1f} GiB",
        "free some room: a run keeps bronze beside the warehouse",
    )


def _feeds(home: Home) -> Finding:
    from ingestion.feed import feeds_path, load_feeds

    path = feeds_path(home)
    if path == home.feeds and not any(home.feeds.glob("*.y*ml")):
        return Finding(
            "feeds", False, f"no feed file in {home.feeds}",
            "`tillhouse generate` puts a sample there; docs/guides/feed-files.md shows how to write your own",
            optional=True,
        )  # fmt: skip
    try:
        return Finding("feeds", True, f"{len(load_feeds(path, home))} in {path}")
    except TillhouseError as error:
        return Finding("feeds", False, error.problem, error.remedy)


def _places(home: Home) -> list[Finding]:
    """Whether buckets and databases let us in: those of feeds, and that of bronze. Folders are seen to by a run."""
    from ingestion.bronze_store import open_bronze
    from ingestion.feed import feeds_path, load_feeds
    from ingestion.landing import open_store

    places: list[tuple[str, str, Callable[[], Iterator[object]]]] = []
    if home.bronze_location:
        places.append(("bronze", home.bronze_location, lambda: open_bronze(home).folders()))
    with suppress(TillhouseError):  # told by `_feeds`
        for feed in load_feeds(feeds_path(home), home):
            if feed.local_folder() is None:
                look = partial(lambda feed: open_store(feed, home).state(feed.glob), feed)
                places.append((f"feed {feed.name}", feed.location, look))
    return [_place(name, location, look) for name, location, look in places]


def _place(name: str, location: str, look: Callable[[], Iterator[object]]) -> Finding:
    try:
        has_something = next(look(), None) is not None
    except ModuleNotFoundError as error:
        extra = "s3" if location.startswith("s3") else "postgres"
        return Finding(name, False, f"{error.name} is missing", f'pip install "tillhouse[{extra}]"')
    except TillhouseError as error:
        return Finding(name, False, error.problem, error.remedy)
    return Finding(name, True, f"{location} lets us in{'' if has_something else '; nothing is there yet'}")


def _warehouse(home: Home) -> Finding:
    if not home.warehouse.exists():
        return Finding("warehouse", True, "none yet; the first run makes it")
    size = home.warehouse.stat().st_size / 2**20
    if not home.published.exists():
        return Finding("warehouse", True, f"{size:,.0f} MiB, nothing published yet")
    from orchestration.publish import read_publication

    files = [home.published, *home.published_files.rglob("*.parquet")]
    published = sum(file.stat().st_size for file in files) / 2**20
    return Finding(
        "warehouse", read_publication(home) is not None,
        f"{size:,.0f} MiB; what readers see, {published:,.0f} MiB in {home.published.name} and {len(files) - 1} files "
        f"in {home.published_files.name}/",
        "readers cannot use it: the home was moved, or files are missing; `tillhouse run` publishes them again",
        optional=True,
    )  # fmt: skip


def _server(home: Home, target: str) -> Finding:
    from ingestion.warehouses import open_warehouse

    try:
        with closing(open_warehouse(target, home)) as warehouse:
            found = warehouse.query(
                "select version(), current_user, current_database(),"
                " has_database_privilege(current_database(), 'create')"
            ).rows[0]
    except ModuleNotFoundError as error:
        return Finding("warehouse", False, f"{error.name} is missing", 'pip install "tillhouse[postgres]"')
    except TillhouseError as error:
        return Finding("warehouse", False, error.problem, error.remedy)
    version, user, database, may_create = found
    return Finding(
        "warehouse", bool(may_create), f"{' '.join(str(version).split()[:2])}, database {database}, user {user}",
        f"let the user make schemas: grant create on database {database} to {user}",
    )  # fmt: skip


def _token_key() -> Finding:
    key = os.environ.get("TILLHOUSE_TOKEN_KEY", "")
    return Finding(
        "token key", bool(key), "set" if key else "not set: e-mail tokens use the development key",
        "set TILLHOUSE_TOKEN_KEY to a secret of 32 random bytes before real data comes in", optional=True,
    )  # fmt: skip
