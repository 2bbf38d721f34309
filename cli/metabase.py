"""`tillhouse metabase …`: what Metabase should hold, made there from the same definitions as every other face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import counted, say
from settings.errors import ChangedByHandError, ExitCode
from settings.home import Home

if TYPE_CHECKING:
    from serving.metabase.desired import Wanted
    from serving.metabase.provisioning import Change
    from serving.metabase.server import MetabaseServer

app = typer.Typer(
    help="Provision a Metabase server.",
    epilog="\b\nThe server and the log-in come from METABASE_URL and METABASE_API_KEY (docs/guides/metabase.md).\n"
    "Examples:  tillhouse metabase plan --target postgres\n"
    "           tillhouse metabase apply --target postgres",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def plan(target: Target = DEFAULT_TARGET) -> int:
    """Say what an apply would change. Nothing is written.

    \b
    Example:  tillhouse metabase plan --target postgres
    """
    from serving.metabase.provisioning import plan as plan_changes

    server, wanted = _both(target)
    changes = plan_changes(server, wanted)
    _list(changes)
    say(f"{counted(len(changes), 'change')} to make" if changes else "Metabase holds what it should")
    return int(ExitCode.OK)


@app.command()
def apply(target: Target = DEFAULT_TARGET) -> int:
    """Make Metabase hold what is defined, and read it back.

    What differs is written, what the definitions dropped goes to Metabase's trash, and what people made themselves is
    left alone. An apply that ended half way is taken up by the next one.

    \b
    Example:  tillhouse metabase apply --target postgres
    """
    from serving.metabase.provisioning import apply as apply_changes

    server, wanted = _both(target)
    changes = apply_changes(server, wanted, tell=lambda change: say(str(change)))
    say(f"{counted(len(changes), 'change')} made" if changes else "Metabase holds what it should")
    return int(ExitCode.OK)


@app.command()
def drift(target: Target = DEFAULT_TARGET) -> int:
    """Say what was changed by hand in what the last apply wrote; exit code 10 where something was.

    \b
    Example:  tillhouse metabase drift --target postgres
    """
    from serving.metabase.provisioning import drift as find_drift

    server, wanted = _both(target)
    changes = find_drift(server, wanted)
    _list(changes)
    if changes:
        raise ChangedByHandError(
            f"{counted(len(changes), 'object')} in Metabase changed by hand",
            remedy="`tillhouse metabase apply` restores what is defined; or take the change over into the definitions",
            rule="metabase_drift",
        )
    say("nothing was changed by hand")
    return int(ExitCode.OK)


def _both(target: str) -> tuple[MetabaseServer, Wanted]:
    from serving.metabase.open import open_metabase

    return open_metabase(Home.from_environment(), target)


def _list(changes: list[Change]) -> None:
    for change in changes:
        say(str(change))
