"""`tillhouse erase` and `tillhouse retention`: what is not kept."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import counted, say
from settings.errors import ExitCode, UsageError
from settings.home import Home
from settings.retention import QUARANTINE_VARIABLE, UNUSED_BRONZE_VARIABLE, Retention

SYSTEMS = ("store", "restaurant")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(erase)
    app.command()(retention)


def erase(
    *,
    system: Annotated[
        str, typer.Option("--system", help="Whose ids these are: store or restaurant.")
    ] = "store",
    customers: Annotated[
        list[str] | None, typer.Option("--customer", help="A customer's id; may be repeated.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file with one customer's id on each line.")
    ] = None,
    email_tokens: Annotated[
        list[str] | None, typer.Option("--email-token", help="All customers with this `email_token`.")
    ] = None,
    ask_address: Annotated[
        bool, typer.Option("--email", help="Ask for an e-mail address, and erase all customers who have it.")
    ] = False,
    target: Target = DEFAULT_TARGET,
) -> int:
    """Erase customers from bronze, raw tables and quarantine.

    Their orders stay under a pseudonym, so that no figure changes. Who was erased is remembered as a keyed hash: later
    deliveries of theirs come in without what is personal. Files in the landing folders are yours to delete.

    \b
    Examples:  tillhouse erase --customer C-4711
               tillhouse erase --system restaurant --file requests.txt
               tillhouse erase --email
    """
    from ingestion.service import IngestionService
    from ingestion.tokens import KEY_VARIABLE, TokenKey
    from ingestion.warehouses import only_writer

    if system not in SYSTEMS:
        raise UsageError(
            f"there is no system {system!r}", remedy=f"use one of {', '.join(SYSTEMS)}", rule="system"
        )
    ids = [*(customers or ()), *(_listed(file) if file else ())]
    tokens = list(email_tokens or ())
    if ask_address:
        # Not a word of the command: those stay in the shell's history.
        address = str(typer.prompt("E-mail address", hide_input=True))
        tokens.append(TokenKey.from_environment().email_token(address))
    wanted = [each.strip() for each in ids if each.strip()]
    if not wanted and not tokens:
        raise UsageError(
            "say whom to erase",
            remedy="use --customer ID, --file PATH, --email-token TOKEN or --email",
            rule="erase",
        )
    home = Home.from_environment()
    with only_writer(target, home):
        report = IngestionService(home, (), target=target).erase(system, wanted, tokens, str(uuid.uuid4()))
    failed = [batch for batch in report.batches if batch.status == "failed"]
    say(
        f"{counted(report.customers, 'customer')} on the suppression list; "
        f"{counted(len(report.batches) - len(failed), 'loaded file')} written anew without them"
    )
    for batch in failed:
        say(f"  {batch.feed}, {batch.batch_id}: {batch.message}")
    if failed:
        say("These files still hold them. Bring them back from a backup, then run `tillhouse erase` again.")
    say(f"Keep {KEY_VARIABLE}: without it the list matches nobody.")
    say("`tillhouse run` takes them out of the published marts. Backups made before today still hold them.")
    return int(ExitCode.DATA_REJECTED if failed else ExitCode.OK)


def retention(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be dropped.")] = False,
    target: Target = DEFAULT_TARGET,
) -> int:
    """Drop what is older than the retention settings allow.

    Every run does so at its end. By default everything is kept; what a rebuild of loaded files needs always is.

    \b
    Example:  tillhouse retention --dry-run
    """
    from ingestion.service import IngestionService
    from ingestion.warehouses import only_writer

    home = Home.from_environment()
    settings = Retention.from_environment()
    for name, days in (
        (QUARANTINE_VARIABLE, settings.quarantine_days),
        (UNUSED_BRONZE_VARIABLE, settings.unused_bronze_days),
    ):
        say(f"{name:>34}  {counted(days, 'day') if days else 'not set: kept for ever'}")
    with only_writer(target, home):
        report = IngestionService(home, (), target=target).retain(
            settings, str(uuid.uuid4()), dry_run=dry_run
        )
    would = "would be " if dry_run else ""
    say(
        f"{counted(report.rows_cut, 'row')} in quarantine {would}cut; bronze of"
        f" {counted(report.deliveries_dropped, 'file')} that are not loaded {would}dropped"
    )
    return int(ExitCode.OK)


def _listed(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read", remedy="name a text file with one id on each line"
        ) from error
