"""`tillhouse access …` and `tillhouse keys …`: who may see what."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.rendering import counted, say, show_table
from settings.errors import ConfigurationError, ExitCode, UsageError
from settings.home import Home

if TYPE_CHECKING:
    from ingestion.warehouses.base import Warehouse
    from serving.access.keys import KeyStore

LONGEST_KEY_DAYS = 366

access_app = typer.Typer(
    help="Show the access policy, and apply it to a Postgres server.",
    epilog="\b\nExamples:  tillhouse access show finance\n           tillhouse access apply --dry-run",
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys_app = typer.Typer(
    help="Make, list and revoke the keys of the metrics API.",
    epilog="\b\nExamples:  tillhouse keys create --role finance --owner books\n           tillhouse keys list",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the statements, change nothing.")]
RoleName = Annotated[str | None, typer.Argument(help="The role. [default: all, in short]")]
RoleOption = Annotated[str, typer.Option("--role", help="The role; `tillhouse access show` lists them.")]
Owner = Annotated[str, typer.Option("--owner", help="Who uses it: a team or a program.")]
Days = Annotated[int, typer.Option("--days", min=1, max=LONGEST_KEY_DAYS, help="Days until the key expires.")]
Locations = Annotated[
    list[str] | None,
    typer.Option(
        "--location", help="system:location id, for a role that sees its own locations alone; repeat it."
    ),
]
ServerTarget = Annotated[
    str, typer.Option("--target", envvar="TILLHOUSE_TARGET", help="postgres of profiles.yml.")
]


@access_app.command()
def show(role: RoleName = None) -> int:
    """Show the roles, or what one of them may see.

    \b
    Examples:  tillhouse access show
               tillhouse access show location_manager
    """
    from serving.access.policy import load_policy

    policy = load_policy()
    if role is None:
        show_table(
            "Roles of the access policy",
            ("role", "rows", "metrics", "dimensions", "marts", "description"),
            [
                (
                    each.name,
                    each.rows.value,
                    len(each.metrics),
                    len(each.dimensions),
                    len(each.marts),
                    each.description,
                )
                for each in policy.roles.values()
            ],
            empty="the policy has no roles",
        )
        return int(ExitCode.OK)
    found = policy.role(role)
    say(f"{found.name}: {found.description}")
    say(f"rows: {found.rows.value}")
    for heading, names in (
        ("metrics", found.metrics),
        ("dimensions", found.dimensions),
        ("marts", found.marts),
    ):
        say(f"{heading}: {', '.join(sorted(names)) or 'none'}")
    return int(ExitCode.OK)


@access_app.command()
def apply(*, dry_run: DryRun = False, target: ServerTarget = "postgres") -> int:
    """Give the roles of the policy their privileges and row policies on a Postgres server.

    Applying twice changes nothing; publications keep it applied. Make people's log-ins members of the roles:
    grant tillhouse_finance to anna.

    \b
    Examples:  tillhouse access apply --target postgres --dry-run
               tillhouse access apply --target postgres
    """
    from serving.access.policy import load_policy
    from serving.access.postgres import plan

    policy = load_policy()
    with closing(_server(target)) as warehouse, warehouse.transaction():
        statements = plan(policy, lambda sql: warehouse.query(sql).rows)
        if not dry_run:
            for statement in statements:
                warehouse.execute(statement)
    for statement in statements:
        say(f"{statement};")
    changes = counted(len(statements), "change")
    say(
        "the server does what the policy says"
        if not statements
        else f"{changes} {'to make' if dry_run else 'made'}"
    )
    return int(ExitCode.OK)


@access_app.command()
def assign(
    login: Annotated[str, typer.Argument(help="The log-in on the server.")],
    locations: Annotated[
        list[str] | None, typer.Argument(help="system:location id, any number. [default: none any more]")
    ] = None,
    target: ServerTarget = "postgres",
) -> int:
    """Say which locations' rows a log-in on the Postgres server sees, in place of those assigned before.

    \b
    Examples:  tillhouse access assign anna restaurant:R01 restaurant:R02
               tillhouse access assign anna
    """
    from serving.access.keys import require_location
    from serving.access.postgres import assign_statements, is_applied

    named = [require_location(location) for location in locations or ()]
    with closing(_server(target)) as warehouse, warehouse.transaction():
        if not is_applied(lambda sql: warehouse.query(sql).rows):
            raise ConfigurationError(
                "the access policy was not applied to this database yet",
                remedy="run `tillhouse access apply` first",
                rule="access_policy",
            )
        for sql, parameters in assign_statements(login, named):
            warehouse.execute(sql, parameters)
    say(f"{login} sees {', '.join(named) or 'no location'}")
    return int(ExitCode.OK)


@keys_app.command()
def create(*, role: RoleOption, owner: Owner, days: Days = 90, locations: Locations = None) -> int:
    """Make a key of the metrics API and print it, once: only its hash is kept.

    \b
    Examples:  tillhouse keys create --role finance --owner "month-end close"
               tillhouse keys create --role location_manager --owner anna --location restaurant:R01
    """
    from serving.access.policy import RowRule, load_policy

    is_limited = load_policy().role(role).rows is RowRule.LOCATIONS
    if is_limited != bool(locations):
        raise UsageError(
            f"the role {role} sees "
            + ("the rows of its locations alone, and none is named" if is_limited else "all locations"),
            remedy="name them: --location restaurant:R01" if is_limited else "leave --location out",
            rule="key_location",
        )
    now = datetime.now(UTC).replace(microsecond=0)
    key, text = _store().create(
        role=role,
        owner=owner,
        created_at=now,
        expires_at=now + timedelta(days=days),
        locations=locations or (),
    )
    print(text)
    typer.echo(
        f"key {key.key_id} of the role {role} expires on {key.expires_at:%Y-%m-%d}. It is shown this once: keep it"
        " where secrets are kept, and send it as `Authorization: Bearer …`",
        err=True,
    )
    return int(ExitCode.OK)


@keys_app.command("list")
def list_command() -> int:
    """List the keys: who has them, what they may, and until when.

    \b
    Example:  tillhouse keys list
    """
    now = datetime.now(UTC)
    show_table(
        "Keys of the metrics API",
        ("key_id", "state", "role", "owner", "locations", "created_at", "expires_at"),
        [
            (
                key.key_id,
                key.state(now),
                key.role,
                key.owner,
                " ".join(key.locations),
                key.created_at,
                key.expires_at,
            )
            for key in _store().list()
        ],
        empty="there are no keys; `tillhouse keys create` makes one",
    )
    return int(ExitCode.OK)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `tillhouse keys list` shows it.")],
) -> int:
    """End a key for good; a running API refuses it from its next request on.

    \b
    Example:  tillhouse keys revoke 0123456789ab
    """
    key = _store().revoke(key_id, datetime.now(UTC).replace(microsecond=0))
    say(f"key {key.key_id} of {key.owner} is revoked since {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC")
    return int(ExitCode.OK)


def _store() -> KeyStore:
    from serving.access.keys import KeyStore

    return KeyStore(Home.from_environment().api_keys)


def _server(target: str) -> Warehouse:
    from ingestion.warehouses import open_warehouse
    from settings.profile import target_type

    if target_type(target) != "postgres":
        raise UsageError(
            f"the target {target} has no roles: whoever may read its file reads all of it",
            remedy="use --target postgres, or give the programs keys of the API: `tillhouse keys create`",
            rule="target",
        )
    return open_warehouse(target, Home.from_environment())
