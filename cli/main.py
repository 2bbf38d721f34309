"""The `tillhouse` command: its words, its exit codes, and how errors are told."""

from __future__ import annotations

import errno
import io
import logging
import sys
import traceback
from typing import Annotated

import typer

from cli import (
    access,
    dashboards,
    doctor,
    ledger,
    metabase,
    metrics,
    privacy,
    quarantine,
    report,
    runs,
    serve,
    up,
)
from cli.rendering import plain
from settings.errors import ConfigurationError, ExitCode, TillhouseError
from settings.home import keep_files_private

EPILOG = """\
\b
Begin with:  tillhouse demo          a sample company, from files to tested marts
Then:        tillhouse status        what has been delivered, what failed
             tillhouse up            dashboards, metrics API and Dagster in the browser
             tillhouse run --help    your own files
Every command has examples: tillhouse COMMAND --help

\b
Exit codes:  0 done                                  4 a delivery was refused
             1 a fault of tillhouse                  5 models or tests failed, nothing published
             2 wrong words                           6 another run is writing
             3 feeds, profile or home folder wrong   7 not found
                                                     8 a server or a bucket cannot be reached
                                                     9 access is refused
                                                    10 changed by hand
"""
# Packages of the extras: whoever only loads files or reads marts has not installed them.
EXTRAS = {
    "adbc_driver_manager": "postgres",
    "adbc_driver_postgresql": "postgres",
    "boto3": "s3",
    "botocore": "s3",
    "dagster": "orchestration",
    "dagster_dbt": "orchestration",
    "dagster_shared": "orchestration",
    "dbt": "warehouse",
    "fastapi": "serving",
    "limits": "serving",
    "metabase_api": "metabase",
    "matplotlib": "report",
    "metricflow": "serving",
    "metricflow_semantics": "serving",
    "psycopg2": "postgres",
    "streamlit": "dashboards",
    "uvicorn": "serving",
}


def _leave(code: int, **_: object) -> None:
    """A command's return value is its exit code."""
    raise typer.Exit(code)


app = typer.Typer(
    name="tillhouse",
    help="A commerce warehouse: raw order files in, tested marts out.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    result_callback=_leave,
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs.register(app)
ledger.register(app)
metrics.register(app)
report.register(app)
privacy.register(app)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(access.access_app, name="access")
app.add_typer(access.keys_app, name="keys")
app.add_typer(metabase.app, name="metabase")
doctor.register(app)
serve.register(app)
dashboards.register(app)
up.register(app)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and what every part says.")] = False,
) -> None:
    """Set up logging before any command runs."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit code. Errors of ours print without a traceback."""
    keep_files_private()
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no ü is no reason to stop
    try:
        app(args=words)
    except TillhouseError as error:
        if debug:
            traceback.print_exc()
        _tell(error)
    except Exception as error:
        if debug:
            raise
        known = _missing_extra(error) or _full_disk(error)
        if known is not None:
            _tell(known)
        print(
            plain(f"error: {type(error).__name__}: {error}") + "\n"
            "  what to do: this looks like a fault of tillhouse; run again with `tillhouse --debug …` and report it",
            file=sys.stderr,
        )
        sys.exit(int(ExitCode.INTERNAL))


def _tell(error: TillhouseError) -> None:
    print(f"error: {plain(str(error))}", file=sys.stderr)
    sys.exit(int(error.exit_code))


def _full_disk(error: Exception) -> ConfigurationError | None:
    """What to do where the disk is full, which the database and the operating system tell in their own ways."""
    is_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if not is_full and "no space left on device" not in str(error).lower():
        return None
    return ConfigurationError(
        f"the disk is full: {error}",
        remedy="free some room and run again; what was committed stays, and nothing half written is used",
        rule="disk_full",
    )


def _missing_extra(error: Exception) -> ConfigurationError | None:
    """What to install, where an import failed for a package that only an extra brings."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    package = (error.name or "").split(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return ConfigurationError(
        f"this command needs the package {package}, which is not installed",
        remedy=f"run `make setup`, or install tillhouse[{extra}]",
        rule="missing_package",
    )


if __name__ == "__main__":
    main()
