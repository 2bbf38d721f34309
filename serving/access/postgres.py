"""The access policy as privileges and row policies of a Postgres server.

Each role of the policy becomes a role of the server without a log-in, `tillhouse_<role>`; people's and programs' own
log-ins are made members of it. `plan` compares what the policy asks for with what the server has and gives the
statements that are missing, so applying it twice changes nothing, and no table is locked that need not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.access.policy import AccessPolicy, Kind, Role, RowRule
from settings.errors import ConfigurationError, NotFoundError

Query = Callable[[str], Sequence[Sequence[Any]]]

ROLE_PREFIX = "tillhouse_"
# By this remark a role is known as ours: others that only look like it are left alone.
ROLE_REMARK = "a role of the tillhouse access policy"
SCHEMAS = ("published_marts", "published_quality")
SCHEMA = "access"
ASSIGNMENTS = f"{SCHEMA}.location_assignments"
ROW_POLICY = "tillhouse_locations"
LOCATION_COLUMN = "location_key"
# Asked once per query, not once per row, thanks to the sub-select.
ROW_CONDITION = (
    f"(not (select {SCHEMA}.is_limited()))"
    f" or {LOCATION_COLUMN} = any ((select {SCHEMA}.assigned_location_keys())::text[])"
)
ASSIGNED_KEYS = """
    select coalesce(array_agg(dim_location.location_key), '{}')
    from published_marts.dim_location
    inner join access.location_assignments as assigned
        on assigned.source_system = dim_location.source_system and assigned.location_id = dim_location.location_id
    where assigned.login = session_user
"""


def server_role(role: str) -> str:
    """The name on the server of a role of the policy."""
    return ROLE_PREFIX + role


def is_applied(query: Query) -> bool:
    """Whether a policy was ever applied to this database."""
    return bool(query(f"select 1 from pg_namespace where nspname = '{SCHEMA}'"))


def plan(policy: AccessPolicy, query: Query) -> tuple[str, ...]:
    """The statements, in order, that make the server do what the policy says; none where it does already.

    Args:
        query: runs a query of ours on the database and gives its rows.

    Raises:
        NotFoundError: when nothing is published yet.
        ConfigurationError: when a role that is limited to locations is given a mart without them, or a role of the
            server that is not ours stands in the way.
    """
    return _Plan(policy, query).statements()


def assign_statements(login: str, locations: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Statements and their parameters (`?` each) after which a log-in sees just these locations.

    Args:
        locations: `system:location id` each.
    """
    named = [tuple(location.split(":", 1)) for location in locations]
    return (
        (f"delete from {ASSIGNMENTS} where login = ?", (login,)),
        *((f"insert into {ASSIGNMENTS} values (?, ?, ?)", (login, *pair)) for pair in named),
    )


@dataclass
class _Plan:
    policy: AccessPolicy
    query: Query
    planned: list[str] = field(default_factory=list)

    def statements(self) -> tuple[str, ...]:
        columns = self._columns()
        if ("published_marts", "dim_location") not in columns:
            raise NotFoundError(
                "nothing is published in this database yet, so there is nothing to give access to",
                remedy="run `tillhouse run` with this target first",
                rule="not_published",
            )
        self._require_locations(columns)
        ours = self._our_roles()
        for role in self.policy.roles.values():
            if server_role(role.name) not in ours:
                self._create_role(role)
        self._create_assignments()
        self._grant_schemas(ours)
        self._grant_tables(columns, ours)
        self._limit_rows(columns)
        return tuple(self.planned)

    def _columns(self) -> dict[tuple[str, str], set[str]]:
        """Columns of the published tables, by schema and table."""
        found: dict[tuple[str, str], set[str]] = {}
        for schema, table, column in self.query(
            "select nspname::text, relname::text, attname::text from pg_attribute"
            " inner join pg_class on pg_class.oid = attrelid"
            " inner join pg_namespace on pg_namespace.oid = relnamespace"
            f" where nspname in ({_texts(SCHEMAS)}) and relkind in ('r', 'p') and attnum > 0 and not attisdropped"
        ):
            found.setdefault((schema, table), set()).add(column)
        return found

    def _require_locations(self, columns: dict[tuple[str, str], set[str]]) -> None:
        for (_, table), names in sorted(columns.items()):
            for role in self._limited():
                if role.may_see(Kind.MARTS, table) and LOCATION_COLUMN not in names:
                    raise ConfigurationError(
                        f"the role {role.name} is limited to its locations, and {table} has no {LOCATION_COLUMN}",
                        remedy=f"take {table} from the role in the access policy",
                        rule="access_policy",
                    )

    def _limited(self) -> list[Role]:
        return [role for role in self.policy.roles.values() if role.rows is RowRule.LOCATIONS]

    def _our_roles(self) -> set[str]:
        rows = self.query(
            "select rolname::text from pg_roles"
            f" where shobj_description(oid, 'pg_authid') = {_text(ROLE_REMARK)} order by rolname"
        )
        return {row[0] for row in rows}

    def _create_role(self, role: Role) -> None:
        name = _name(server_role(role.name))
        if self.query(f"select 1 from pg_roles where rolname = {_text(server_role(role.name))}"):
            raise ConfigurationError(
                f"the server has a role {server_role(role.name)} that is not of the access policy",
                remedy=f"rename it, or make it ours: comment on role {name} is {_text(ROLE_REMARK)}",
                rule="server_role",
            )
        self.planned += [
            f"create role {name} nologin",
            f"comment on role {name} is {_text(ROLE_REMARK)}",
        ]

    def _create_assignments(self) -> None:
        if not is_applied(self.query):
            self.planned += [
                f"create schema {SCHEMA}",
                f"create table {ASSIGNMENTS} (login name not null, source_system text not null,"
                " location_id text not null, primary key (login, source_system, location_id))",
            ]
        everything = _texts(
            server_role(role.name) for role in self.policy.roles.values() if role.rows is RowRule.ALL
        )
        limited = _texts(server_role(role.name) for role in self._limited())
        # A log-in that is also a member of a role without this limit is not limited. Who calls a row policy's
        # function needs no privilege on its schema: it was looked up when the policy was made.
        member = (
            "exists (select from pg_roles where rolname in ({}) and pg_has_role(current_user, oid, 'member'))"
        )
        is_limited = (
            f"select {member.format(limited or 'null')} and not {member.format(everything or 'null')}"
        )
        self._create_function("is_limited", "boolean", is_limited, "")
        # With the rights of its owner: readers need not see who else is assigned to what.
        self._create_function("assigned_location_keys", "text[]", ASSIGNED_KEYS, "security definer")

    def _create_function(self, name: str, kind: str, body: str, security: str) -> None:
        present = self.query(
            "select prosrc from pg_proc inner join pg_namespace on pg_namespace.oid = pronamespace"
            f" where nspname = '{SCHEMA}' and proname = '{name}'"
        )
        if not present or present[0][0] != body:
            self.planned.append(
                f"create or replace function {SCHEMA}.{name}() returns {kind} language sql stable {security}"
                f" set search_path = pg_catalog as $body${body}$body$"
            )

    def _grant_schemas(self, ours: set[str]) -> None:
        granted = {
            (row[0], row[1])
            for row in self.query(
                "select nspname::text, rolname::text from pg_namespace, aclexplode(nspacl)"
                " inner join pg_roles on pg_roles.oid = grantee"
                f" where nspname in ({_texts((*SCHEMAS, 'publication'))}) and privilege_type = 'USAGE'"
            )
        }
        present = {
            row[0]
            for row in self.query(
                f"select nspname::text from pg_namespace where nspname in ({_texts((*SCHEMAS, 'publication'))})"
            )
        }
        wanted = {(schema, server_role(role)) for schema in present for role in self.policy.roles}
        for schema, role in sorted(wanted - granted):
            self.planned.append(f"grant usage on schema {_name(schema)} to {_name(role)}")
        for schema, role in sorted(granted - wanted):
            if role in ours:
                self.planned.append(f"revoke usage on schema {_name(schema)} from {_name(role)}")

    def _grant_tables(self, columns: dict[tuple[str, str], set[str]], ours: set[str]) -> None:
        granted = {
            tuple(row)
            for row in self.query(
                "select nspname::text, relname::text, rolname::text, privilege_type::text from pg_class"
                " inner join pg_namespace on pg_namespace.oid = relnamespace, aclexplode(relacl)"
                " inner join pg_roles on pg_roles.oid = grantee"
                f" where nspname in ({_texts((*SCHEMAS, 'publication'))}) and relkind in ('r', 'p', 'v')"
            )
        }
        wanted = {
            (schema, table, server_role(role.name), "SELECT")
            for schema, table in columns
            for role in self.policy.roles.values()
            if role.may_see(Kind.MARTS, table)
        }
        if self.query("select 1 from pg_tables where schemaname = 'publication' and tablename = 'current'"):
            wanted |= {("publication", "current", server_role(role), "SELECT") for role in self.policy.roles}
        for schema, table, role, privilege in sorted(wanted - granted):
            self.planned.append(f"grant {privilege} on {_name(schema)}.{_name(table)} to {_name(role)}")
        for schema, table, role, privilege in sorted(granted - wanted):
            if role in ours:
                self.planned.append(
                    f"revoke {privilege} on {_name(schema)}.{_name(table)} from {_name(role)}"
                )

    def _limit_rows(self, columns: dict[tuple[str, str], set[str]]) -> None:
        """Row policies where a limited role may look. They hold for everybody, and let everybody else pass."""
        state = {
            (row[0], row[1]): (row[2], row[3])
            for row in self.query(
                "select nspname::text, relname::text, relrowsecurity, pg_policy.oid is not null from pg_class"
                " inner join pg_namespace on pg_namespace.oid = relnamespace"
                f" left join pg_policy on polrelid = pg_class.oid and polname = '{ROW_POLICY}'"
                f" where nspname in ({_texts(SCHEMAS)}) and relkind in ('r', 'p')"
            )
        }
        for schema, table in sorted(columns):
            relation = f"{_name(schema)}.{_name(table)}"
            is_secured, has_policy = state[schema, table]
            if any(role.may_see(Kind.MARTS, table) for role in self._limited()):
                if not has_policy:
                    self.planned.append(
                        f"create policy {ROW_POLICY} on {relation} for select using ({ROW_CONDITION})"
                    )
                if not is_secured:
                    self.planned.append(f"alter table {relation} enable row level security")
            elif has_policy:
                self.planned += [
                    f"drop policy {ROW_POLICY} on {relation}",
                    f"alter table {relation} disable row level security",
                ]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _texts(texts: Iterable[str]) -> str:
    return ", ".join(_text(text) for text in texts)
