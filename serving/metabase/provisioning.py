"""Make a Metabase server hold what is wanted: what differs, in the order in which it can be made, and making it.

Every object of ours carries a mark at the end of its description: its key, and a fingerprint of the definition that was
written. By the key it is found again, after an apply that ended half way too; objects without a mark, and copies that
people made of ours, are not ours and stay as they are. By the fingerprint a change of the definition is told from one
that somebody made by hand.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.access.postgres import ROLE_PREFIX
from serving.metabase.desired import (
    DATABASE_NAME,
    ROOT,
    Placement,
    Reference,
    Wanted,
    WantedCard,
    WantedCollection,
    WantedDashboard,
    WantedGroup,
    parameter_id,
)
from serving.metabase.documentation import FOREIGN_KEY, TableDocumentation
from serving.metabase.marks import MARK, differences, fingerprint, marked
from serving.metabase.server import MetabaseServer, StaleRevisionError
from settings.errors import ConfigurationError, UnavailableError

logger = logging.getLogger(__name__)

DATABASE_KEY = "database"
SYNC_SECONDS, SYNC_PAUSE_SECONDS = 300.0, 2.0
ATTEMPTS_AT_PERMISSIONS = 3
ALL_USERS = "All Users"
QUERY_BUILDER, NO = "query-builder", "no"
UNRESTRICTED = "unrestricted"
UNSETTLED = "0" * 8  # the mark of a database while an apply goes on
UNKNOWN = -1  # the number of an object that is yet to be made


@dataclass(frozen=True)
class Change:
    """One difference between the server and what is wanted.

    Attributes:
        action: create, update, archive, read (tables of the database) or grant.
        kind, key: the object.
        fields: what of it differs.
        is_by_hand: the server differs from what was last written there, although the definition is still that one.
    """

    action: str
    kind: str
    key: str
    fields: tuple[str, ...] = ()
    is_by_hand: bool = False

    def __str__(self) -> str:
        told = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.action} {self.kind} {self.key}{told}{' [changed by hand]' if self.is_by_hand else ''}"


Step = tuple[Change, Callable[[], None]]


@dataclass(frozen=True)
class _Found:
    """An object of ours as the server has it."""

    id: int
    fingerprint: str
    content: Mapping[str, Any]

    @property
    def is_archived(self) -> bool:
        return bool(self.content.get("archived"))


def plan(server: MetabaseServer, wanted: Wanted) -> list[Change]:
    """What an apply would change, in its order; nothing is written.

    Raises:
        AccessError, NotFoundError, UnavailableError, ConfigurationError: see `MetabaseServer`.
    """
    return [change for steps in _Provisioning(server, wanted).stages() for change, _ in steps]


def drift(server: MetabaseServer, wanted: Wanted) -> list[Change]:
    """What differs on the server although it was written as it is defined now: changes by hand. Raises as `plan`."""
    return [change for change in plan(server, wanted) if change.is_by_hand]


def apply(
    server: MetabaseServer,
    wanted: Wanted,
    *,
    tell: Callable[[Change], None] | None = None,
    pause_seconds: float = SYNC_PAUSE_SECONDS,
) -> list[Change]:
    """Make the server hold what is wanted, and read it back.

    An apply that ended half way is taken up by the next one: whatever was made is found by its mark.

    Args:
        tell: is called after each change.
        pause_seconds: between looks at a database whose tables Metabase is still reading.

    Raises:
        AccessError, NotFoundError, UnavailableError: see `MetabaseServer`.
        ConfigurationError: when the server does not keep what it was given.
    """
    done = []
    for steps in _Provisioning(server, wanted, pause_seconds).stages():
        for change, run in steps:
            run()
            done.append(change)
            if tell is not None:
                tell(change)
    left = plan(server, wanted) if done else []
    if left:
        raise ConfigurationError(
            f"Metabase did not keep what it was given: {'; '.join(str(change) for change in left[:5])}",
            remedy="apply again; if it stays so, compare the server's version with that in docs/guides/metabase.md",
            rule="metabase",
        )
    return done


@dataclass
class _Provisioning:
    server: MetabaseServer
    wanted: Wanted
    pause_seconds: float = SYNC_PAUSE_SECONDS
    ids: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    table_ids: dict[tuple[str, str], int] = field(default_factory=dict)
    found: dict[str, dict[str, _Found]] = field(default_factory=dict)
    mark: str = UNSETTLED

    def stages(self) -> Iterator[list[Step]]:
        """Steps that are known once those of the stages before have run (or, of a plan, are only told)."""
        self._read_groups()
        yield list(self._database())
        # Metabase opens what is new to everybody: closed before there is anything in it.
        yield list(self._data_permissions([ALL_USERS]))
        yield list(self._groups())
        yield list(self._read_tables())
        yield list(self._data_permissions([name for name in self._judged_groups() if name != ALL_USERS]))
        yield list(self._tables())
        yield list(self._collections())
        yield list(self._collection_permissions())
        # A model first, then what reads it: what is made in one stage has its number in the next.
        yield list(self._cards([card for card in self.wanted.cards if not _references_cards(card)]))
        yield list(self._cards([card for card in self.wanted.cards if _references_cards(card)]))
        yield list(self._dashboards())
        yield list(self._dropped())
        yield list(self._settled())

    # The database and its tables

    def _database(self) -> Iterator[Step]:
        named = [one for one in _data(self.server.get("/api/database/")) if one["name"] == DATABASE_NAME]
        body = self._database_body()
        wanted = self.wanted.database
        full = {
            **body,
            "details": {**wanted.details, **({"password": wanted.password} if wanted.password else {})},
        }
        if not named:

            def create() -> None:
                made = self.server.post("/api/database/", full)
                self.ids[DATABASE_KEY] = made["id"]
                self._mark_database(UNSETTLED)

            yield Change("create", "database", DATABASE_NAME), create
            return
        found = self.server.get(f"/api/database/{named[0]['id']}")
        mark = MARK.search(found.get("description") or "")
        fields = differences(body, found)
        if mark is None and fields:
            raise ConfigurationError(
                f"Metabase has a database called {DATABASE_NAME} already, which reads something else",
                remedy="rename that one in Metabase, then apply again",
                rule="metabase_database",
            )
        self.ids[DATABASE_KEY] = found["id"]
        self.mark = mark["fingerprint"] if mark else UNSETTLED
        if fields:
            yield (
                Change("update", "database", DATABASE_NAME, fields, self._is_settled()),
                lambda: self._put(f"/api/database/{found['id']}", full),
            )

    def _database_body(self) -> dict[str, Any]:
        wanted = self.wanted.database
        return {"name": DATABASE_NAME, "engine": wanted.engine, "details": dict(wanted.details)}

    def _fingerprint_of_all(self) -> str:
        """Of what has no place of its own for a mark: connection, descriptions, groups."""
        tables = [
            (place, told.description, sorted(told.columns.items()))
            for place, told in self.wanted.tables.items()
        ]
        return fingerprint(
            {
                "database": self._database_body(),
                "tables": tables,
                "groups": sorted(map(_told, self.wanted.groups)),
            }
        )

    def _is_settled(self) -> bool:
        """Whether the last apply came to its end with the definitions of now: what differs then was done by hand."""
        return self.mark == self._fingerprint_of_all()

    def _settled(self) -> Iterator[Step]:
        """Last of all: note on the database what it was settled with."""
        if DATABASE_KEY in self.ids and not self._is_settled():
            yield (
                Change("update", "database", DATABASE_NAME, ("mark",)),
                lambda: self._mark_database(self._fingerprint_of_all()),
            )

    def _mark_database(self, fingerprint: str) -> None:
        description = f"The published warehouse, read-only.\n\n[tillhouse:{DATABASE_KEY}#{fingerprint}]"
        self._put(f"/api/database/{self.ids[DATABASE_KEY]}", {"description": description})

    def _read_tables(self) -> Iterator[Step]:
        missing = self._missing_tables()
        if missing:
            yield (
                Change("read", "database", DATABASE_NAME, (f"{len(missing)} tables",)),
                self._wait_for_tables,
            )

    def _missing_tables(self) -> list[str]:
        self.table_ids = {(table["schema"], table["name"]): table["id"] for table in self._metadata()}
        return [
            f"{schema}.{name}" for schema, name in self.wanted.tables if (schema, name) not in self.table_ids
        ]

    def _metadata(self) -> list[Mapping[str, Any]]:
        if DATABASE_KEY not in self.ids:
            return []
        found = self.server.get(f"/api/database/{self.ids[DATABASE_KEY]}/metadata")
        return list(found["tables"])

    def _wait_for_tables(self) -> None:
        """Metabase reads the tables of a database on its own time."""
        self.server.post(f"/api/database/{self.ids[DATABASE_KEY]}/sync_schema")
        until = time.monotonic() + SYNC_SECONDS
        while missing := self._missing_tables():
            if time.monotonic() > until:
                raise UnavailableError(
                    f"Metabase has not read all tables of the warehouse yet: {', '.join(missing[:5])}",
                    remedy="see in its admin settings whether it can connect to the database, then apply again",
                    rule="metabase_sync",
                )
            time.sleep(self.pause_seconds)

    def _tables(self) -> Iterator[Step]:
        tables = {(table["schema"], table["name"]): table for table in self._metadata()}
        by_name = {name: table for (_, name), table in tables.items()}
        for place, told in self.wanted.tables.items():
            if place in tables:
                yield from self._table(tables[place], told, by_name)
            else:
                yield Change("update", "table", place[1], ("description", "columns")), lambda: None

    def _table(
        self, table: Mapping[str, Any], told: TableDocumentation, by_name: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[Step]:
        writes: list[tuple[str, dict[str, Any]]] = []
        fields = []
        if told.description and table.get("description") != told.description:
            fields.append("description")
            writes.append((f"/api/table/{table['id']}", {"description": told.description}))
        for column in table["fields"]:
            wanted = self._field(told, column["name"], by_name)
            if differences(wanted, column):
                fields.append(column["name"])
                writes.append((f"/api/field/{column['id']}", wanted))
        if writes:

            def write() -> None:
                for path, body in writes:
                    self._put(path, body)

            yield Change("update", "table", table["name"], tuple(fields), self._is_settled()), write

    def _field(
        self, told: TableDocumentation, name: str, by_name: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        column = told.columns.get(name)
        if column is None:
            return {}
        body: dict[str, Any] = {"description": column.description} if column.description else {}
        if column.semantic_type == FOREIGN_KEY:
            target = by_name.get(column.leads_to or "", {"fields": []})
            keys = [one["id"] for one in target["fields"] if one["name"] == name]
            return body | ({"semantic_type": FOREIGN_KEY, "fk_target_field_id": keys[0]} if keys else {})
        return body | ({"semantic_type": column.semantic_type} if column.semantic_type else {})

    # Groups, collections, cards, dashboards

    def _read_groups(self) -> None:
        self.groups = {
            ALL_USERS if group.get("magic_group_type") == "all-internal-users" else group["name"]: group["id"]
            for group in self.server.get("/api/permissions/group")
        }

    def _groups(self) -> Iterator[Step]:
        for group in self.wanted.groups:
            if group.name not in self.groups:
                yield Change("create", "group", group.name), self._creation_of_group(group.name)

    def _creation_of_group(self, name: str) -> Callable[[], None]:
        def create() -> None:
            self.groups[name] = self.server.post("/api/permissions/group", {"name": name})["id"]

        return create

    def _collections(self) -> Iterator[Step]:
        listed = [*self.server.get("/api/collection/"), *self.server.get("/api/collection/", archived="true")]
        found = self._remember("collection", listed)
        for one in self.wanted.collections:
            definition = {"name": one.name, "description": one.description}
            body: dict[str, Any] = {
                "name": one.name, "description": marked(one.description, one.key, definition),
            }  # fmt: skip
            if one.key not in found:
                yield Change("create", "collection", one.name), self._creation_of_collection(one, body)
                continue
            now = found[one.key]
            if one.parent is not None:
                body["parent_id"] = self.ids.get(one.parent, UNKNOWN)
            seen = {**now.content, "parent_id": _parent(now.content)}
            yield from self._update(("collection", one.name), now, body, definition, seen=seen)

    def _creation_of_collection(self, one: WantedCollection, body: Mapping[str, Any]) -> Callable[[], None]:
        def create() -> None:
            parent = {"parent_id": self.ids[one.parent]} if one.parent else {}
            self.ids[one.key] = self.server.post("/api/collection/", {**body, **parent})["id"]

        return create

    def _cards(self, cards: Sequence[WantedCard]) -> Iterator[Step]:
        if "card" not in self.found:
            listed = [*self.server.get("/api/card/", f="all"), *self.server.get("/api/card/", f="archived")]
            self._remember("card", listed)
        for card in cards:
            now = self.found["card"].get(card.key)
            definition = {**card.body, "name": card.name, "text": card.description, "in": card.collection}
            if now is None:
                yield Change("create", "card", card.key), self._creation_of_card(card, definition)
            else:
                body = self._card_body(card, definition)
                yield from self._update(("card", card.key), now, body, definition)

    def _card_body(self, card: WantedCard, definition: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self._resolved(card.body),
            "name": card.name,
            "description": marked(card.description, card.key, definition),
            "collection_id": self.ids.get(card.collection, UNKNOWN),
        }

    def _creation_of_card(self, card: WantedCard, definition: Mapping[str, Any]) -> Callable[[], None]:
        def create() -> None:
            self.ids[card.key] = self.server.post("/api/card/", self._card_body(card, definition))["id"]

        return create

    def _dashboards(self) -> Iterator[Step]:
        listed = [
            *self.server.get("/api/dashboard/", f="all"),
            *self.server.get("/api/dashboard/", f="archived"),
        ]
        found = self._remember("dashboard", listed)
        for one in self.wanted.dashboards:
            definition = {
                "name": one.name, "text": one.description, "in": one.collection,
                "filters": one.parameters, "cards": [vars(placement) for placement in one.placements],
            }  # fmt: skip
            now = found.get(one.key)
            if now is None:
                yield Change("create", "dashboard", one.name), self._creation_of_dashboard(one, definition)
                continue
            seen = self.server.get(f"/api/dashboard/{now.id}")
            body = self._dashboard_body(one, definition)
            cards = [] if self._holds(one, seen) else ["cards"]
            fields = (*differences(body, seen), *cards, *(("archived",) if now.is_archived else ()))
            if fields:
                is_by_hand = now.fingerprint == fingerprint(definition)
                yield (
                    Change("update", "dashboard", one.name, fields, is_by_hand),
                    self._writing_of_dashboard(one, definition, now.id, is_archived=now.is_archived),
                )

    def _dashboard_body(self, one: WantedDashboard, definition: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": one.name,
            "description": marked(one.description, one.key, definition),
            "collection_id": self.ids.get(one.collection, UNKNOWN),
            "parameters": self._resolved(one.parameters),
        }

    def _creation_of_dashboard(
        self, one: WantedDashboard, definition: Mapping[str, Any]
    ) -> Callable[[], None]:
        def create() -> None:
            made = self.server.post("/api/dashboard/", self._dashboard_body(one, definition))
            self._writing_of_dashboard(one, definition, made["id"])()

        return create

    def _writing_of_dashboard(
        self,
        one: WantedDashboard,
        definition: Mapping[str, Any],
        number: int,
        *,
        is_archived: bool = False,
    ) -> Callable[[], None]:
        restored = {"archived": False} if is_archived else {}

        def write() -> None:
            path = f"/api/dashboard/{number}"
            # The list of cards is replaced whole: those that stay keep their ids, new ones have negative ones.
            there = {_place_of(card): card["id"] for card in self.server.get(path)["dashcards"]}
            body = self._dashboard_body(one, definition)
            cards = self._dashcards(one)
            for position, card in enumerate(cards, start=1):
                card["id"] = there.get(_place_of(card), -position)
            self._put(path, {**body, **restored, "dashcards": cards})
            # Metabase has answered 200 and dropped cards that it could not read.
            if not self._holds(one, self.server.get(path)):
                raise ConfigurationError(
                    f"Metabase did not keep the cards of the dashboard {one.name}",
                    remedy="apply again; if it stays so, look into the server's log",
                    rule="metabase",
                )

        return write

    def _dashcards(self, one: WantedDashboard) -> list[dict[str, Any]]:
        return [self._dashcard(one, placement) for placement in one.placements]

    def _dashcard(self, one: WantedDashboard, placement: Placement) -> dict[str, Any]:
        name = one.key.partition(".")[2]
        card = None if placement.card is None else self.ids.get(placement.card, UNKNOWN)
        return {
            "id": 0,
            "card_id": card,
            "row": placement.row,
            "col": placement.column,
            "size_x": placement.width,
            "size_y": placement.height,
            "series": [],
            "parameter_mappings": [
                {
                    "parameter_id": parameter_id(name, tag),
                    "card_id": card,
                    "target": ["variable", ["template-tag", tag]],
                }
                for tag in placement.tags
            ],
            "visualization_settings": _text_settings(placement.text) if card is None else {},
        }

    def _holds(self, one: WantedDashboard, seen: Mapping[str, Any]) -> bool:
        """Whether a dashboard has just these cards, in their places and with their filters."""

        def told(card: Mapping[str, Any]) -> str:
            kept = (
                "card_id", "row", "col", "size_x", "size_y", "parameter_mappings", "visualization_settings",
            )  # fmt: skip
            return json.dumps({name: card.get(name) for name in kept}, sort_keys=True)

        return sorted(map(told, self._dashcards(one))) == sorted(map(told, seen["dashcards"]))

    def _remember(self, kind: str, listed: Sequence[Mapping[str, Any]]) -> dict[str, _Found]:
        """Ours among all objects of a kind, by key. Of two with one mark the older is ours, the other is a copy."""
        found: dict[str, _Found] = {}
        for one in sorted((one for one in listed if isinstance(one["id"], int)), key=lambda each: each["id"]):
            mark = MARK.search(one.get("description") or "")
            if mark is not None and mark["key"] not in found:
                found[mark["key"]] = _Found(one["id"], mark["fingerprint"], one)
        self.found[kind] = found
        self.ids |= {key: one.id for key, one in found.items()}
        return found

    def _update(
        self,
        change: tuple[str, str],
        now: _Found,
        wanted: Mapping[str, Any],
        definition: Mapping[str, Any],
        *,
        seen: Mapping[str, Any] | None = None,
    ) -> Iterator[Step]:
        """A step that writes the fields which differ; `change` is kind and name."""
        kind, name = change
        fields = differences(wanted, now.content if seen is None else seen)
        restored = {"archived": False} if now.is_archived else {}
        if fields or restored:
            is_by_hand = now.fingerprint == fingerprint(definition)
            body = {field: wanted[field] for field in fields} | restored
            yield (
                Change("update", kind, name, (*fields, *restored), is_by_hand),
                lambda: self._put(f"/api/{kind}/{now.id}", body),
            )

    def _put(self, path: str, body: Mapping[str, Any]) -> None:
        self.server.put(path, body)

    # Who may see what

    def _collection_permissions(self) -> Iterator[Step]:
        seen = self.server.get("/api/collection/graph")["groups"]
        numbers = {one.key: self.ids.get(one.key, UNKNOWN) for one in self.wanted.collections}
        roles = {group.name: group.role for group in self.wanted.groups}
        for name in self._judged_groups():
            group = self.groups.get(name, UNKNOWN)
            wanted = {
                str(numbers[one.key]): "read" if roles.get(name) in one.readers else "none"
                for one in self.wanted.collections
            }
            now = {number: seen.get(str(group), {}).get(number, "none") for number in wanted}
            if wanted != now or group == UNKNOWN:
                yield (
                    Change("grant", "collections", name, is_by_hand=self._is_settled()),
                    self._writing_of_collection_permissions(name),
                )

    def _judged_groups(self) -> list[str]:
        """Ours, those of roles that are no more, and everybody: nobody else's are looked at."""
        own = [group.name for group in self.wanted.groups]
        former = [name for name in self.groups if name.startswith(ROLE_PREFIX) and name not in own]
        return [*own, *former, ALL_USERS]

    def _writing_of_collection_permissions(self, name: str) -> Callable[[], None]:
        roles = {group.name: group.role for group in self.wanted.groups}

        def write() -> None:
            granted = {
                str(self.ids[one.key]): "read" if roles.get(name) in one.readers else "none"
                for one in self.wanted.collections
            }
            self._put_graph("/api/collection/graph", {str(self.groups[name]): granted})

        return write

    def _data_permissions(self, names: Sequence[str]) -> Iterator[Step]:
        seen = self.server.get("/api/permissions/graph")["groups"]
        database = str(self.ids.get(DATABASE_KEY, UNKNOWN))
        for name in names:
            now = seen.get(str(self.groups.get(name, UNKNOWN)), {}).get(database)
            if not self._is_granted(name, now):
                yield (
                    Change("grant", "tables", name, is_by_hand=self._is_settled()),
                    self._writing_of_data_permissions(name),
                )

    def _allowed_tables(self, name: str) -> dict[tuple[str, str], str]:
        """What a group may do with each table of the database."""
        allowed = {group.name: group.tables for group in self.wanted.groups}.get(name, frozenset())
        return {
            (schema, table): QUERY_BUILDER if table in allowed else NO
            for schema, table in (self.table_ids or self.wanted.tables)
        }

    def _is_granted(self, name: str, now: Mapping[str, Any] | None) -> bool:
        if DATABASE_KEY not in self.ids or name not in self.groups:
            return False
        found = now or {}
        queries = found.get("create-queries", NO)
        if name == ALL_USERS:
            return _is_closed(queries) and found.get("view-data", UNRESTRICTED) == UNRESTRICTED
        for (schema, table), wanted in self._allowed_tables(name).items():
            of_schema = queries.get(schema, NO) if isinstance(queries, Mapping) else queries
            of_table = (
                of_schema.get(str(self.table_ids.get((schema, table), UNKNOWN)), NO)
                if isinstance(of_schema, Mapping)
                else of_schema
            )
            if of_table != wanted:
                return False
        return bool(found.get("view-data", UNRESTRICTED) == UNRESTRICTED)

    def _writing_of_data_permissions(self, name: str) -> Callable[[], None]:
        def write() -> None:
            allowed = self._allowed_tables(name)
            queries: Any = NO
            if set(allowed.values()) != {NO}:
                queries = {}
                for (schema, table), may in allowed.items():
                    queries.setdefault(schema, {})[str(self.table_ids[schema, table])] = may
            # Without a licence Metabase knows no other way to see data; what a group finds follows from collections.
            granted = {"view-data": UNRESTRICTED, "create-queries": queries}
            self._put_graph(
                "/api/permissions/graph", {str(self.groups[name]): {str(self.ids[DATABASE_KEY]): granted}}
            )

        return write

    def _put_graph(self, path: str, groups: Mapping[str, Any]) -> None:
        """Write permissions of some groups over the revision that is there now."""
        for attempt in range(1, ATTEMPTS_AT_PERMISSIONS + 1):
            revision = self.server.get(path)["revision"]
            try:
                self._put(path, {"revision": revision, "groups": groups})
            except StaleRevisionError:
                if attempt == ATTEMPTS_AT_PERMISSIONS:
                    raise
            else:
                return

    # What is no longer defined

    def _dropped(self) -> Iterator[Step]:
        kept = {
            "dashboard": {one.key for one in self.wanted.dashboards},
            "card": {one.key for one in self.wanted.cards},
            "collection": {one.key for one in self.wanted.collections},
        }
        for kind in ("dashboard", "card", "collection"):
            for key, one in self.found[kind].items():
                if key in kept[kind] or one.is_archived or key == ROOT:
                    continue
                if kind == "collection" and self._holds_others_work(one.id):
                    logger.warning(
                        "the collection %s is no longer ours to fill, and holds other work", one.id
                    )
                    continue
                yield (
                    Change("archive", kind, key),
                    self._archiving(f"/api/{kind}/{one.id}"),
                )

    def _archiving(self, path: str) -> Callable[[], None]:
        return lambda: self._put(path, {"archived": True})

    def _holds_others_work(self, collection: int) -> bool:
        """A collection takes all that is in it to the trash."""
        ours = {(kind, one.id) for kind, found in self.found.items() for one in found.values()}
        kinds = {"dataset": "card", "metric": "card"}
        return any(
            (kinds.get(item["model"], item["model"]), item["id"]) not in ours
            for item in _data(self.server.get(f"/api/collection/{collection}/items"))
        )

    def _resolved(self, value: Any) -> Any:
        """A body with Metabase's numbers in place of our keys."""
        if isinstance(value, Reference):
            number = self.ids.get(value.key, UNKNOWN)
            return number if value.form == "{}" else value.form.format(number)
        if isinstance(value, Mapping):
            return {name: self._resolved(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(one) for one in value]
        return value


def _references_cards(card: WantedCard) -> bool:
    return bool(card.body["type"] == "metric")


def _is_closed(queries: Any) -> bool:
    """Whether a group may ask nothing of a database, told for the whole of it, by schemas or by tables."""
    return all(map(_is_closed, queries.values())) if isinstance(queries, Mapping) else bool(queries == NO)


def _told(group: WantedGroup) -> tuple[str, list[str]]:
    return group.name, sorted(group.tables)


def _data(answer: Any) -> list[Mapping[str, Any]]:
    """The list of an answer, which some versions and paths wrap as {data, total}."""
    return list(answer["data"] if isinstance(answer, Mapping) else answer)


def _parent(collection: Mapping[str, Any]) -> int | None:
    """The number of the folder that a collection is in, from a location such as `/3/8/`."""
    above = [part for part in (collection.get("location") or "/").split("/") if part]
    return int(above[-1]) if above else None


def _place_of(dashcard: Mapping[str, Any]) -> tuple[Any, str]:
    """By what a card on a dashboard is known again: its card, or its text."""
    settings = dashcard.get("visualization_settings") or {}
    return dashcard.get("card_id"), str(settings.get("text", ""))


def _text_settings(text: str) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": None,
        "display": "text",
        "visualization_settings": {},
        "dataset_query": {},
        "archived": False,
    }
    return {"virtual_card": card, "text": text}
