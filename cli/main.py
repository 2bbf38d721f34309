"""The `tillhouse` command: its words, its exit codes, and how errors are told."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Annotated

import typer

from cli import doctor, ledger, quarantine, runs
from settings.errors import ExitCode, TillhouseError

EXIT_CODES = """
Exit codes: 0 done · 1 a fault of tillhouse · 2 wrong words · 3 feeds, profile or home folder wrong ·
4 a delivery was refused · 5 models or tests failed, nothing published · 6 another run is writing · 7 not found
"""


def _leave(code: int, **_: object) -> None:
    """A command's return value is its exit code."""
    raise typer.Exit(code)


app = typer.Typer(
    name="tillhouse",
    help="A commerce warehouse: raw order files in, tested marts out.\n\n" + EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    result_callback=_leave,
)
runs.register(app)
ledger.register(app)
app.add_typer(quarantine.app, name="quarantine")
doctor.register(app)


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
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        app(args=words)
    except TillhouseError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    except Exception as error:
        if debug:
            raise
        print(
            f"error: {type(error).__name__}: {error}\n"
            "  what to do: this looks like a fault of tillhouse; run again with `tillhouse --debug …` and report it",
            file=sys.stderr,
        )
        sys.exit(int(ExitCode.INTERNAL))


if __name__ == "__main__":
    main()
