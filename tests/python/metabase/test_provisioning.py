"""Plan, apply and drift against a Metabase that keeps what it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.main import main
from serving.dashboards.definitions import load_dashboards
from serving.metabase.desired import Wanted
from serving.metabase.provisioning import Change, apply, drift, plan
from serving.metabase.server import MetabaseServer
from serving.metabase.settings import MetabaseSettings
from settings.errors import ConfigurationError, ExitCode, UnavailableError
from settings.home import HOME_VARIABLE

from .fake_metabase import EVERYBODY, KEY, FakeMetabase, serving

if TYPE_CHECKING:
    from conftest import SampleRun


def applied(server: MetabaseServer, wanted: Wanted) -> list[Change]:
    return apply(server, wanted, pause_seconds=0)


def server_of(fake: FakeMetabase) -> MetabaseServer:
    return MetabaseServer(MetabaseSettings(fake.url, api_key=KEY))


def by_mark(kept: dict[int, dict[str, Any]], key: str) -> dict[str, Any]:
    (found,) = [one for one in kept.values() if f"[tillhouse:{key}#" in (one["description"] or "")]
    return found


@pytest.mark.minutes
def test_a_plan_writes_nothing_and_an_apply_leaves_none(
    fake: FakeMetabase, server: MetabaseServer, everything: Wanted
) -> None:
    planned = plan(server, everything)
    assert fake.writes == 0
    assert {method for method, _ in fake.requests} == {"get"}
    done = applied(server, everything)
    assert {(one.action, one.kind) for one in planned} >= {
        ("create", "database"), ("create", "collection"), ("create", "card"), ("create", "dashboard"),
        ("create", "group"), ("grant", "collections"), ("grant", "tables"),
    }  # fmt: skip
    assert len(done) >= len(planned)
    assert plan(server, everything) == []
    assert drift(server, everything) == []
    written = fake.writes
    assert applied(server, everything) == []
    assert fake.writes == written


def test_nothing_is_open_to_everybody_while_it_is_being_made(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    applied(server, little)
    assert len(fake.cards) >= len(little.cards)
    assert fake.exposed == []


@pytest.mark.minutes
def test_the_server_holds_every_dashboard_with_its_cards_and_filters(
    fake: FakeMetabase, server: MetabaseServer, everything: Wanted
) -> None:
    applied(server, everything)
    assert len(fake.dashboards) == len(everything.dashboards) >= 10
    for dashboard in fake.dashboards.values():
        filters = {one["id"]: one["slug"] for one in dashboard["parameters"]}
        shown = [card for card in dashboard["dashcards"] if card["card_id"] is not None]
        names = {fake.cards[card["card_id"]]["name"] for card in shown}
        assert "How fresh the figures are" in names
        for card in shown:
            tags = fake.cards[card["card_id"]]["dataset_query"]["native"]["template-tags"]
            mapped = {filters[one["parameter_id"]]: one["target"] for one in card["parameter_mappings"]}
            assert mapped == {tag: ["variable", ["template-tag", tag]] for tag in tags}
        assert set(filters.values()) == {
            tag
            for card in shown
            for tag in fake.cards[card["card_id"]]["dataset_query"]["native"]["template-tags"]
        }


def test_cards_do_not_overlap_on_the_grid(everything: Wanted) -> None:
    for dashboard in everything.dashboards:
        taken: set[tuple[int, int]] = set()
        for one in dashboard.placements:
            cells = {
                (column, row)
                for column in range(one.column, one.column + one.width)
                for row in range(one.row, one.row + one.height)
            }
            assert not cells & taken
            assert max(column for column, _ in cells) < 24
            taken |= cells


@pytest.mark.minutes
def test_tables_have_descriptions_and_keys_lead_to_their_tables(
    fake: FakeMetabase, server: MetabaseServer, everything: Wanted
) -> None:
    applied(server, everything)
    (database,) = fake.databases.values()
    tables = {table["name"]: table for table in database["tables"]}
    assert all(table["description"] for table in tables.values())
    assert all(column["description"] for table in tables.values() for column in table["fields"])
    columns = {(name, column["name"]): column for name, table in tables.items() for column in table["fields"]}
    assert columns["dim_location", "location_key"]["semantic_type"] == "type/PK"
    order_location = columns["fct_orders", "location_key"]
    assert order_location["semantic_type"] == "type/FK"
    assert order_location["fk_target_field_id"] == columns["dim_location", "location_key"]["id"]
    assert columns["mart_churn_indicators", "spend_change_rate"]["semantic_type"] == "type/Percentage"


@pytest.mark.minutes
def test_an_apply_that_ends_after_any_call_is_taken_up(little: Wanted) -> None:
    tables = {place: tuple(told.columns) for place, told in little.tables.items()}

    def new_server() -> FakeMetabase:
        return FakeMetabase(tables=tables, polls_until_synced=0)

    with serving(new_server()) as whole:
        applied(server_of(whole), little)
        expected, calls = whole.state(), whole.writes
    assert calls > 30
    for number in range(1, calls + 1):
        with serving(new_server()) as broken:
            broken.fail_at = number
            # A call that is refused leaves what the call before it left: some of them stand for all.
            broken.fails_after_writing = number % 10 != 0
            with pytest.raises(UnavailableError):
                applied(server_of(broken), little)
            applied(server_of(broken), little)
            assert broken.state() == expected, f"after call {number}"
            assert broken.invalid == []


def test_a_card_edited_by_hand_is_drift_and_is_restored(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    applied(server, little)
    card = by_mark(fake.cards, "card.home.net_revenue")
    written = card["dataset_query"]["native"]["query"]
    card["dataset_query"]["native"]["query"] = "select 42 as net_revenue"
    card["visualization_settings"]["scalar.suffix"] = " (checked)"
    found = drift(server, little)
    assert [(one.kind, one.key, one.is_by_hand) for one in found] == [("card", "card.home.net_revenue", True)]
    assert set(found[0].fields) == {"dataset_query", "visualization_settings"}
    assert applied(server, little) == found
    assert card["dataset_query"]["native"]["query"] == written
    assert "scalar.suffix" not in card["visualization_settings"]
    assert plan(server, little) == []


def change_dashboard(fake: FakeMetabase) -> None:
    by_mark(fake.dashboards, "dashboard.home")["dashcards"][1]["row"] += 3


def remove_mapping(fake: FakeMetabase) -> None:
    by_mark(fake.dashboards, "dashboard.home")["dashcards"][2]["parameter_mappings"].pop()


def archive_card(fake: FakeMetabase) -> None:
    by_mark(fake.cards, "card.home.orders")["archived"] = True


def rename_collection(fake: FakeMetabase) -> None:
    by_mark(fake.collections, "root")["name"] = "old stuff"


def open_collection(fake: FakeMetabase) -> None:
    root = by_mark(fake.collections, "root")
    fake.collection_permissions[str(EVERYBODY)][str(root["id"])] = "write"


def open_tables(fake: FakeMetabase) -> None:
    (database,) = fake.databases
    fake.data_permissions[str(EVERYBODY)][str(database)] = {
        "view-data": "unrestricted", "create-queries": "query-builder-and-native",
    }  # fmt: skip


def describe_table(fake: FakeMetabase) -> None:
    (database,) = fake.databases.values()
    table = next(one for one in database["tables"] if one["name"] == "dim_location")
    table["description"] = "shops"


def change_connection(fake: FakeMetabase) -> None:
    (database,) = fake.databases.values()
    database["details"]["host"] = "elsewhere"


@pytest.mark.parametrize(
    "edit",
    [
        archive_card, open_tables,
        *(
            pytest.param(one, marks=pytest.mark.minutes)
            for one in (
                change_dashboard, remove_mapping, rename_collection, open_collection, describe_table, change_connection,
            )
        ),
    ],
)  # fmt: skip
def test_what_was_changed_by_hand_is_told_and_restored(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted, edit: Any
) -> None:
    applied(server, little)
    before = fake.state()
    edit(fake)
    assert fake.state() != before
    (found,) = drift(server, little)
    assert found.is_by_hand
    applied(server, little)
    assert fake.state() == before


def test_a_changed_definition_is_planned_and_is_no_drift(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    applied(server, little)
    cards = tuple(
        replace(one, name="Revenue, net") if one.key == "card.home.net_revenue" else one
        for one in little.cards
    )
    changed = replace(little, cards=cards)
    assert [(one.action, one.key) for one in plan(server, changed)] == [("update", "card.home.net_revenue")]
    assert drift(server, changed) == []
    applied(server, changed)
    assert by_mark(fake.cards, "card.home.net_revenue")["name"] == "Revenue, net"


def test_what_the_definitions_dropped_is_archived(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    applied(server, little)
    fewer = replace(
        little,
        dashboards=tuple(one for one in little.dashboards if one.key != "dashboard.loyalty"),
        cards=tuple(one for one in little.cards if not one.key.startswith("card.loyalty.")),
    )
    done = applied(server, fewer)
    assert {(one.action, one.kind) for one in done} == {("archive", "dashboard"), ("archive", "card")}
    assert by_mark(fake.dashboards, "dashboard.loyalty")["archived"]
    assert plan(server, fewer) == []
    applied(server, little)  # and defined again, it is taken out of the trash
    assert not by_mark(fake.dashboards, "dashboard.loyalty")["archived"]
    assert plan(server, little) == []


def test_a_role_that_is_no_more_loses_its_rights_and_keeps_its_people(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    applied(server, little)
    fewer = replace(
        little,
        groups=tuple(one for one in little.groups if one.role != "finance"),
        collections=tuple(replace(one, readers=one.readers - {"finance"}) for one in little.collections),
    )
    applied(server, fewer)
    (group,) = [one["id"] for one in fake.groups.values() if one["name"] == "tillhouse_finance"]
    (database,) = fake.databases
    assert fake.data_permissions[str(group)][str(database)]["create-queries"] == "no"
    assert set(fake.collection_permissions[str(group)].values()) == {"none"}
    assert plan(server, fewer) == []


def test_what_people_made_stays_as_it_is(fake: FakeMetabase, server: MetabaseServer, little: Wanted) -> None:
    applied(server, little)
    server.post("/api/collection/", {"name": "Anna's"})
    (annas,) = [one["id"] for one in fake.collections.values() if one["name"] == "Anna's"]
    original = by_mark(fake.cards, "card.home.net_revenue")
    # A copy carries the mark in its description, in the same folder too.
    copied = {
        name: original[name] for name in ("description", "dataset_query", "display", "visualization_settings")
    }
    server.post("/api/card/", {**copied, "name": "My revenue", "collection_id": original["collection_id"]})
    server.post("/api/card/", {**copied, "name": "Anna's revenue", "collection_id": annas})
    server.post("/api/dashboard/", {"name": "Anna's dashboard", "collection_id": annas})
    server.post("/api/permissions/group", {"name": "board"})
    before = fake.state()
    assert plan(server, little) == []
    assert applied(server, little) == []
    nothing = replace(little, dashboards=(), cards=(), collections=little.collections[:1], groups=())
    applied(server, nothing)
    kept = [one["name"] for one in fake.cards.values() if not one["archived"]]
    assert sorted(kept) == ["Anna's revenue", "My revenue"]
    (mine,) = [one for one in fake.cards.values() if one["name"] == "My revenue"]
    assert not fake.collections[mine["collection_id"]]["archived"], "it holds somebody's work"
    assert [one["name"] for one in fake.dashboards.values() if not one["archived"]] == ["Anna's dashboard"]
    assert not fake.collections[annas]["archived"]
    assert plan(server, nothing) == []
    applied(server, little)
    assert fake.state() == before


def test_a_database_of_the_same_name_that_reads_something_else_is_left_alone(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    server.post("/api/database/", {"name": "tillhouse", "engine": "postgres", "details": {"host": "theirs"}})
    before = fake.state()
    with pytest.raises(ConfigurationError, match="reads something else"):
        applied(server, little)
    assert fake.state() == before


def test_permissions_that_somebody_changes_meanwhile_are_read_again(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    fake.stale_revisions = 2
    applied(server, little)
    assert plan(server, little) == []
    fake.stale_revisions = 10
    open_tables(fake)
    with pytest.raises(UnavailableError, match="permissions were changed"):
        applied(server, little)


def test_cards_that_metabase_drops_without_a_word_are_noticed(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    fake.drops_dashcards = True
    with pytest.raises(ConfigurationError, match="did not keep the cards of the dashboard"):
        applied(server, little)


def test_tables_that_never_come_are_told(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.metabase.provisioning.SYNC_SECONDS", 0)
    fake.polls_until_synced = 1_000_000
    with pytest.raises(UnavailableError, match="has not read all tables"):
        applied(server, little)


def test_the_readers_password_is_sent_once_and_shown_nowhere(
    fake: FakeMetabase, server: MetabaseServer, little: Wanted
) -> None:
    done = applied(server, little)
    assert little.database.password not in repr(little)
    assert little.database.password not in "".join(map(str, done))
    assert little.database.password not in fake.state()


@pytest.mark.minutes
def test_the_commands_plan_apply_and_find_drift(
    fake: FakeMetabase,
    everything: Wanted,
    sample_run: SampleRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def call(command: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(["metabase", command])
        return int(str(left.value.code)), capsys.readouterr().out

    monkeypatch.setenv(HOME_VARIABLE, str(sample_run.home.root))
    monkeypatch.setenv("METABASE_URL", fake.url)
    monkeypatch.setenv("METABASE_API_KEY", KEY)
    fake.tables = {("marts", "dim_location"): ("location_key",)}
    few = tuple(one for one in load_dashboards() if one.name in {"home", "revenue"})
    monkeypatch.setattr("serving.metabase.desired.load_dashboards", lambda: few)
    described = {"dim_location": everything.tables["marts", "dim_location"]}
    monkeypatch.setattr("serving.metabase.open.read_documentation", lambda _home: described)
    code, told = call("plan")
    assert code == ExitCode.OK
    assert "create dashboard Revenue\n" in told
    code, told = call("apply")
    assert code == ExitCode.OK
    assert "create dashboard Revenue\n" in told
    assert "changes made" in told
    assert call("plan") == (ExitCode.OK, "Metabase holds what it should\n")
    assert call("drift") == (ExitCode.OK, "nothing was changed by hand\n")
    by_mark(fake.cards, "card.home.net_revenue")["display"] = "gauge"
    code, told = call("drift")
    assert code == ExitCode.CHANGED_BY_HAND
    assert "update card card.home.net_revenue (display) [changed by hand]" in told
    assert call("apply")[0] == ExitCode.OK
    assert call("drift")[0] == ExitCode.OK
