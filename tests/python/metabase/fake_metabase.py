"""A Metabase to test against: it keeps what it is given, refuses what its published interface refuses, and bites where
Metabase bites.

Every body is held to what Metabase publishes of its interface in version 0.54 (OpenAPI): `metabase-0.54.json` has the
paths that are used here, with the forms of their bodies and parameters and without prose. It names schemas that the
published document does not hold; those that bodies of ours meet are written down below.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator

SPECIFICATION = json.loads((Path(__file__).with_name("metabase-0.54.json")).read_text(encoding="utf-8"))
NON_BLANK = {"type": "string", "minLength": 1, "pattern": r"\S"}
# Not in the document; as Metabase's documentation and source say.
MISSING_SCHEMAS = {
    "metabase.lib.schema.common/non-blank-string": NON_BLANK,
    "metabase.sync.schedules/ExpandedSchedulesMap": {"type": "object"},
    "metabase.api.card/card-type": {"enum": ["question", "metric", "model"]},
    "metabase.analyze.query-results/ResultsMetadata": {"type": "array"},
    "metabase.lib.schema.temporal-bucketing/unit": {"type": "string"},
    "metabase.lib.schema.metadata/column.has-field-values": {"type": "string"},
}
GRID_COLUMNS = 24
ADMINISTRATORS, EVERYBODY = 2, 1
KEY = "mb_a_key_for_tests"
USER, PASSWORD = "admin@example.com", "a password for tests"
HIDDEN = "**MetabasePass**"


def _route(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{[^}]*\}", r"([0-9]+)", template.rstrip("/")) + "/?")


ROUTES = {template: _route(template) for template in SPECIFICATION["paths"]}


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass
class FakeMetabase:
    """The state of a server.

    Attributes:
        tables: (schema, table) → columns, which it finds in any database that it is given.
        polls_until_synced: looks at a new database before its tables are there.
        requests: method and path of every call, in order.
        invalid: bodies that the specification refuses; a test asks that there are none.
        fail_at: number of the writing call that fails, from 1; with `fails_after_writing` it is carried out and the
            answer lost.
        stale_revisions: so many times somebody else changes the permissions just before they are written.
        drops_dashcards: answers 200 to a dashboard's cards and keeps none of them.
        exposed: cards and databases that everybody could see as they were filled.
        answers: path → what is answered there in place of anything else.
    """

    tables: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    polls_until_synced: int = 2
    requests: list[tuple[str, str]] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    fail_at: int | None = None
    fails_after_writing: bool = False
    stale_revisions: int = 0
    drops_dashcards: bool = False
    exposed: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    writes: int = 0
    url: str = ""
    sessions: set[str] = field(default_factory=set)
    databases: dict[int, dict[str, Any]] = field(default_factory=dict)
    collections: dict[int, dict[str, Any]] = field(default_factory=dict)
    cards: dict[int, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[int, dict[str, Any]] = field(default_factory=dict)
    groups: dict[int, dict[str, Any]] = field(
        default_factory=lambda: {
            EVERYBODY: {"id": EVERYBODY, "name": "All Users", "magic_group_type": "all-internal-users"},
            ADMINISTRATORS: {"id": ADMINISTRATORS, "name": "Administrators", "magic_group_type": "admin"},
        }
    )
    data_permissions: dict[str, dict[str, Any]] = field(default_factory=dict)
    collection_permissions: dict[str, dict[str, str]] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=lambda: {"data": 1, "collection": 1})
    polls: int = 0
    _number: int = 100
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # Calls

    def handle(self, method: str, target: str, body: Any, headers: Any) -> Any:
        """The answer to one call."""
        with self._lock:
            parts = urlsplit(target)
            path = parts.path
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            self.requests.append((method, path))
            template = next((one for one, route in ROUTES.items() if route.fullmatch(path)), None)
            if template is None or method not in SPECIFICATION["paths"][template]:
                raise RefusedError(404, "API endpoint does not exist.")
            self._require_valid(template, method, path, body)
            if template == "/api/session/":
                return self._log_in(body)
            if headers.get("X-API-KEY") != KEY and headers.get("X-Metabase-Session") not in self.sessions:
                raise RefusedError(401, "Unauthenticated")
            if method == "get":
                return copy.deepcopy(self._read(template, path, query))
            return self._write(template, method, path, body)

    def _write(self, template: str, method: str, path: str, body: Any) -> Any:
        self.writes += 1
        fails = self.fail_at == self.writes
        if fails and not self.fails_after_writing:
            raise RefusedError(500, "something broke")
        answer = copy.deepcopy(self._written(template, method, path, copy.deepcopy(body)))
        if fails:
            raise ConnectionAbortedError
        return answer

    def _require_valid(self, template: str, method: str, path: str, body: Any) -> None:
        content = SPECIFICATION["paths"][template][method].get("requestBody", {}).get("content", {})
        for described in content.values():
            schema = {**described["schema"], "components": {"schemas": MISSING_SCHEMAS}}
            for error in Draft202012Validator(schema).iter_errors(body):
                self.invalid.append(f"{method} {path}: {error.json_path}: {error.message}")

    def _log_in(self, body: Any) -> Any:
        if (body["username"], body["password"]) != (USER, PASSWORD):
            raise RefusedError(401, {"errors": {"password": "did not match stored password"}})
        session = f"session-{len(self.sessions) + 1}"
        self.sessions.add(session)
        return {"id": session}

    def _read(self, template: str, path: str, query: dict[str, str]) -> Any:
        number = int(found[1]) if (found := re.search(r"/(\d+)", path)) else 0
        answers: dict[str, Callable[[], Any]] = {
            "/api/database/": lambda: _enveloped(list(self.databases.values())),
            "/api/database/{id}": lambda: _of(self.databases, number),
            "/api/database/{id}/metadata": lambda: self._metadata(_of(self.databases, number)),
            "/api/collection/": lambda: self._list_collections(query.get("archived") == "true"),
            "/api/collection/{id}/items": lambda: _enveloped(self._items(number)),
            "/api/card/": lambda: _in_trash(self.cards, query),
            "/api/dashboard/": lambda: [
                {name: value for name, value in one.items() if name != "dashcards"}
                for one in _in_trash(self.dashboards, query)
            ],
            "/api/dashboard/{id}": lambda: _of(self.dashboards, number),
            "/api/permissions/group": lambda: list(self.groups.values()),
            "/api/permissions/graph": lambda: {
                "revision": self.revisions["data"], "groups": self.data_permissions,
            },
            "/api/collection/graph": lambda: {
                "revision": self.revisions["collection"], "groups": self._collection_graph(),
            },
        }  # fmt: skip
        if template not in answers:
            raise RefusedError(404, f"the fake does not know {path}")
        return answers[template]()

    def _list_collections(self, is_archived: bool) -> list[dict[str, Any]]:
        root: list[dict[str, Any]] = [] if is_archived else [{"id": "root", "name": "Our analytics"}]
        return root + [one for one in self.collections.values() if one["archived"] == is_archived]

    def _items(self, collection: int) -> list[dict[str, Any]]:
        models = {"question": "card", "model": "dataset", "metric": "metric"}
        return [
            {"id": one["id"], "model": models[one["type"]] if kept is self.cards else "dashboard"}
            for kept in (self.cards, self.dashboards)
            for one in kept.values()
            if one.get("collection_id") == collection and not one["archived"]
        ]

    def _written(self, template: str, method: str, path: str, body: Any) -> Any:
        number = int(found[1]) if (found := re.search(r"/(\d+)", path)) else 0
        answers: dict[tuple[str, str], Callable[[], Any]] = {
            ("post", "/api/database/"): lambda: self._add_database(body),
            ("put", "/api/database/{id}"): lambda: self._change_database(number, body),
            ("post", "/api/database/{id}/sync_schema"): lambda: {"status": "ok"},
            ("put", "/api/table/{id}"): lambda: self._table(number).update(body),
            ("put", "/api/field/{id}"): lambda: self._field(number).update(body),
            ("post", "/api/permissions/group"): lambda: self._add_group(body),
            ("post", "/api/collection/"): lambda: self._add_collection(body),
            ("put", "/api/collection/{id}"): lambda: self._change_collection(number, body),
            ("post", "/api/card/"): lambda: self._add_card(body),
            ("put", "/api/card/{id}"): lambda: self._change_card(number, body),
            ("post", "/api/dashboard/"): lambda: self._add_dashboard(body),
            ("put", "/api/dashboard/{id}"): lambda: self._change_dashboard(number, body),
            ("put", "/api/collection/graph"): lambda: self._change_collection_graph(body),
            ("put", "/api/permissions/graph"): lambda: self._change_data_graph(body),
        }
        if (method, template) not in answers:
            raise RefusedError(404, f"the fake does not know {method} {path}")
        return answers[method, template]()

    def new_number(self) -> int:
        self._number += 1
        return self._number

    # What it keeps

    def _add_database(self, body: Any) -> Any:
        number = self.new_number()
        self.databases[number] = {
            "id": number,
            "description": None,
            **body,
            "details": _without_secret(body["details"]),
        }
        self.databases[number]["tables"] = [
            {
                "id": self.new_number(), "schema": schema, "name": name, "description": None,
                "fields": [
                    {"id": self.new_number(), "name": column, "description": None, "semantic_type": None,
                     "fk_target_field_id": None}
                    for column in columns
                ],
            }
            for (schema, name), columns in sorted(self.tables.items())
        ]  # fmt: skip
        # Everybody may do everything with a new database.
        self.data_permissions.setdefault(str(EVERYBODY), {})[str(number)] = {
            "view-data": "unrestricted", "create-queries": "query-builder-and-native",
        }  # fmt: skip
        return self.databases[number]

    def _change_database(self, number: int, body: Any) -> Any:
        database = _of(self.databases, number)
        if "details" in body:
            body["details"] = _without_secret(body["details"])
        database.update(body)
        return database

    def _metadata(self, database: dict[str, Any]) -> Any:
        self.polls += 1
        is_read = self.polls > self.polls_until_synced
        if is_read and self.data_permissions[str(EVERYBODY)][str(database["id"])]["create-queries"] != "no":
            self.exposed.append(database["name"])
        return {**database, "tables": database["tables"] if is_read else []}

    def _table(self, number: int) -> dict[str, Any]:
        return _of({table["id"]: table for one in self.databases.values() for table in one["tables"]}, number)

    def _field(self, number: int) -> dict[str, Any]:
        return _of(
            {
                column["id"]: column
                for one in self.databases.values()
                for table in one["tables"]
                for column in table["fields"]
            },
            number,
        )

    def _add_group(self, body: Any) -> Any:
        if any(group["name"] == body["name"] for group in self.groups.values()):
            raise RefusedError(400, {"errors": {"name": "A group with that name already exists."}})
        number = self.new_number()
        self.groups[number] = {
            "id": number,
            "name": body["name"],
            "magic_group_type": None,
            "member_count": 0,
        }
        return self.groups[number]

    def _add_collection(self, body: Any) -> Any:
        number = self.new_number()
        parent = body.pop("parent_id", None)
        self.collections[number] = {
            "id": number, "description": None, "archived": False, "location": self._location(parent), **body,
        }  # fmt: skip
        # A new folder takes over who may see the one that it is in; the top one lets everybody write.
        above = str(parent) if parent else "root"
        for group in self.groups:
            inherited = self._permission(group, above)
            if inherited != "none":
                self.collection_permissions.setdefault(str(group), {})[str(number)] = inherited
        return self.collections[number]

    def _location(self, parent: int | None) -> str:
        return f"{_of(self.collections, parent)['location']}{parent}/" if parent else "/"

    def _change_collection(self, number: int, body: Any) -> Any:
        collection = _of(self.collections, number)
        if "parent_id" in body:
            collection["location"] = self._location(body.pop("parent_id"))
        if body.get("archived"):
            for kept in (self.cards, self.dashboards):
                for one in kept.values():
                    if one.get("collection_id") == number:
                        one["archived"] = True
        collection.update(body)
        return collection

    def _add_card(self, body: Any) -> Any:
        self._require_card(body)
        if self._permission(EVERYBODY, str(body.get("collection_id") or "root")) != "none":
            self.exposed.append(body["name"])
        number = self.new_number()
        self.cards[number] = {
            "id": number, "description": None, "archived": False, "collection_id": None, "type": "question",
            "parameters": [], "enable_embedding": False, "result_metadata": [], **body,
        }  # fmt: skip
        return self.cards[number]

    def _require_card(self, body: Any) -> None:
        query = body.get("dataset_query")
        if query is None:
            return
        if query["database"] not in self.databases:
            raise RefusedError(404, "Not found.")
        if query["type"] == "native":
            written = set(re.findall(r"\{\{\s*([\w-]+)\s*\}\}", query["native"]["query"]))
            if written != set(query["native"].get("template-tags", {})):
                raise RefusedError(400, "template tags and query differ")
        elif body.get("type") == "metric" and len(query["query"].get("aggregation", [])) != 1:
            raise RefusedError(400, "Card of type metric must have a single aggregation")
        if body.get("collection_id") is not None:
            _of(self.collections, body["collection_id"])

    def _change_card(self, number: int, body: Any) -> Any:
        self._require_card(body)
        card = _of(self.cards, number)
        card.update(body)
        if card["archived"]:  # a card in the trash is on no dashboard
            for dashboard in self.dashboards.values():
                dashboard["dashcards"] = [one for one in dashboard["dashcards"] if one["card_id"] != number]
        return card

    def _add_dashboard(self, body: Any) -> Any:
        number = self.new_number()
        self.dashboards[number] = {
            "id": number, "description": None, "archived": False, "collection_id": None, "parameters": [],
            "dashcards": [], "tabs": [], "width": "fixed", **body,
        }  # fmt: skip
        return self.dashboards[number]

    def _change_dashboard(self, number: int, body: Any) -> Any:
        dashboard = _of(self.dashboards, number)
        if "dashcards" in body:
            body["dashcards"] = self._dashcards(dashboard, body["dashcards"])
        dashboard.update(body)
        return dashboard

    def _dashcards(self, dashboard: dict[str, Any], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The whole list in place of the former one: negative ids are new, ids that are missing are removed."""
        numbers = [card["id"] for card in given]
        if len(set(numbers)) != len(numbers):
            raise RefusedError(400, "ids of dashcards must be unique")
        present = {card["id"] for card in dashboard["dashcards"]}
        unknown = [number for number in numbers if number >= 0 and number not in present]
        if unknown:
            raise RefusedError(400, f"no dashcards {unknown}")
        if any(card["col"] + card["size_x"] > GRID_COLUMNS for card in given):
            raise RefusedError(400, "a card leaves the grid of 24 columns")
        filters = {one["id"] for one in dashboard["parameters"]}
        is_bad = self.drops_dashcards or any(
            card.get("card_id") is not None and card["card_id"] not in self.cards for card in given
        )
        if is_bad:
            return []  # answered with 200 all the same
        kept = []
        for card in given:
            mappings = [one for one in card.get("parameter_mappings", []) if one["parameter_id"] in filters]
            number = card["id"] if card["id"] in present else self.new_number()
            kept.append(
                {"card": None, "dashboard_tab_id": None, **card, "id": number, "parameter_mappings": mappings}
            )
        return kept

    # Permissions

    def _permission(self, group: int, collection: str) -> str:
        if group == ADMINISTRATORS:
            return "write"
        if collection == "root" and group == EVERYBODY:
            return self.collection_permissions.get(str(group), {}).get("root", "write")
        return self.collection_permissions.get(str(group), {}).get(collection, "none")

    def _collection_graph(self) -> dict[str, dict[str, str]]:
        named = ["root", *(str(number) for number in self.collections)]
        return {str(group): {name: self._permission(group, name) for name in named} for group in self.groups}

    def _change_collection_graph(self, body: Any) -> Any:
        self._require_revision("collection", body)
        for group, granted in body["groups"].items():
            self.collection_permissions.setdefault(group, {}).update(granted)
        return {"revision": self.revisions["collection"], "groups": self._collection_graph()}

    def _change_data_graph(self, body: Any) -> Any:
        self._require_revision("data", body)
        for group, databases in body["groups"].items():
            for number, granted in databases.items():
                own = self.data_permissions.setdefault(group, {}).setdefault(number, {})
                own.update({name: _collapsed(value) for name, value in granted.items()})
        return {"revision": self.revisions["data"], "groups": self.data_permissions}

    def _require_revision(self, kind: str, body: Any) -> None:
        if self.stale_revisions:
            self.stale_revisions -= 1
            self.revisions[kind] += 1
        if body["revision"] != self.revisions[kind]:
            raise RefusedError(
                409, "Looks like someone else edited the permissions and your data is out of date."
            )
        self.revisions[kind] += 1

    def state(self) -> str:
        """All that it holds, without its numbers: equal where two servers hold the same."""
        names = {str(number): one["name"] for kept in self._kept() for number, one in kept.items()}
        fields = {
            str(column["id"]): f"{table['name']}.{column['name']}"
            for one in self.databases.values()
            for table in one["tables"]
            for column in table["fields"]
        }
        tables = {
            str(table["id"]): table["name"] for one in self.databases.values() for table in one["tables"]
        }
        names |= fields | tables

        def named(value: Any) -> Any:
            if isinstance(value, dict):
                return {
                    names.get(str(key), key): named(one)
                    for key, one in value.items()
                    if key != "id" or not isinstance(one, int)
                }
            if isinstance(value, list):
                return [named(one) for one in value]
            if isinstance(value, str) and re.fullmatch(r"card__\d+|(/\d+)*/", value):
                return re.sub(r"\d+", lambda found: names[found[0]], value)
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return names.get(str(value), value) if is_number else value

        kept = [
            sorted(json.dumps(named(one), sort_keys=True) for one in held.values()) for held in self._kept()
        ]
        graphs = [named(self.data_permissions), named(self._collection_graph())]
        return json.dumps([kept, graphs], sort_keys=True, indent=1)

    def _kept(self) -> list[dict[int, dict[str, Any]]]:
        return [self.databases, self.collections, self.cards, self.dashboards, self.groups]


def _enveloped(listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {"data": listed, "total": len(listed)}


def _in_trash(kept: dict[int, dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    return [one for one in kept.values() if one["archived"] == (query["f"] == "archived")]


def _of(kept: dict[int, dict[str, Any]], number: int) -> dict[str, Any]:
    if number not in kept:
        raise RefusedError(404, "Not found.")
    return kept[number]


def _without_secret(details: dict[str, Any]) -> dict[str, Any]:
    """Metabase never shows a password again."""
    return {name: HIDDEN if name == "password" else value for name, value in details.items()}


def _collapsed(value: Any) -> Any:
    """Tables or schemas that are all alike are told together."""
    if isinstance(value, dict):
        inner = {name: _collapsed(one) for name, one in value.items()}
        distinct = {json.dumps(one, sort_keys=True) for one in inner.values()}
        if len(distinct) == 1 and not isinstance(next(iter(inner.values())), dict):
            return next(iter(inner.values()))
        return inner
    return value


@contextmanager
def serving(fake: FakeMetabase) -> Iterator[FakeMetabase]:
    """Let it listen on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, or each answer waits for an acknowledgement

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            if self.path in fake.answers:
                status, text = fake.answers[self.path]
                self._send(status, text)
                return
            try:
                answer = fake.handle(method, self.path, body, self.headers)
            except RefusedError as error:
                self._send(error.status, json.dumps(error.body))
            except ConnectionAbortedError:
                self.close_connection = True
            else:
                self._send(200, json.dumps(answer))

        def _send(self, status: int, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def do_GET(self) -> None:
            self._answer("get")

        def do_POST(self) -> None:
            self._answer("post")

        def do_PUT(self) -> None:
            self._answer("put")

        def do_DELETE(self) -> None:
            self._answer("delete")

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
