"""Who sees what on dashboards: each role × each dashboard, held to the words of the policy file itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SampleRun

from serving.access.answers import Answers, Viewer
from serving.access.keys import KeyStore
from serving.access.policy import POLICY_FILE, AccessPolicy, Role, load_policy
from serving.dashboards.boards import Boards
from serving.dashboards.definitions import Card, load_dashboards
from serving.dashboards.questions import Filters
from serving.dashboards.sign_in import Doorkeeper, require_safe
from settings.errors import AccessError, NotFoundError, UsageError

from .metrics import Metrics

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
POLICY = yaml.safe_load(POLICY_FILE.read_text(encoding="utf-8"))
DASHBOARDS = load_dashboards()
OWN = ("restaurant:00101", "restaurant:00108")


def allowed(role: str, kind: str) -> set[str]:
    """Names that the policy file gives a role, sets written out."""
    return {
        name
        for word in POLICY["roles"][role].get(kind, [])
        for name in POLICY["sets"][kind].get(word, [word])
    }


def may_see(role: str, card: Card, inputs: Mapping[str, set[str]]) -> bool:
    """What the file says of a card, by other code than the dashboards'."""
    if card.mart is not None:
        return card.mart in allowed(role, "marts")
    named = {name for metric in card.metrics for name in {metric} | inputs[metric]}
    grain = {"auto": {"day"}, None: set()}.get(card.grain, {str(card.grain)})
    return named <= allowed(role, "metrics") and {*card.by, *grain} <= allowed(role, "dimensions")


@pytest.fixture(scope="module")
def inputs(metrics: Metrics) -> dict[str, set[str]]:
    catalogue = metrics.client.catalogue()
    public = set(catalogue.public_metrics)
    return {name: set(metric.inputs) & public for name, metric in catalogue.metrics.items()}


def viewer(boards: Boards, role: str) -> Viewer:
    return Viewer(boards.answers.policy.role(role), OWN if role == "location_manager" else ())


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: str(one.name))
@pytest.mark.parametrize("role", sorted(POLICY["roles"]))
def test_a_role_sees_of_a_dashboard_what_the_policy_allows(
    boards: Boards, inputs: dict[str, set[str]], role: str, dashboard: Any
) -> None:
    who = viewer(boards, role)
    sight = boards.sight(who)
    for card in dashboard.cards:
        why = sight.hidden(dashboard, card)
        assert (why == "") == may_see(role, card, inputs), card.name
        if why:
            assert role in why, card.name
            with pytest.raises(AccessError):
                boards.card(who, dashboard, card, Filters())
        else:
            boards.card(who, dashboard, card, Filters())
        rows = boards.hidden_rows(who, card)
        assert (rows == "") == (card.drill in allowed(role, "marts")), card.name
        if rows:
            with pytest.raises(AccessError):
                boards.rows(who, dashboard, card, Filters(), limit=1)
    shown = {card.name for card in sight.shown(dashboard)}
    assert shown == {card.name for card in dashboard.cards if may_see(role, card, inputs)}


def test_the_matrix_has_open_and_closed_places(boards: Boards) -> None:
    seen = {
        (role, dashboard.name): len(boards.sight(viewer(boards, role)).shown(dashboard))
        / len(dashboard.cards)
        for role in POLICY["roles"]
        for dashboard in DASHBOARDS
    }
    assert seen["analyst", "segments"] == 1
    assert seen["marketing", "payments"] == 0
    assert seen["operations", "churn"] == 0
    assert seen["service_monitoring", "revenue"] == 0
    assert 0 < seen["executive", "churn"] < 1


def test_a_role_of_single_locations_sees_their_figures_and_rows_alone(
    boards: Boards, sample_run: SampleRun
) -> None:
    who = viewer(boards, "location_manager")
    revenue = next(one for one in DASHBOARDS if one.name == "revenue")
    ((expected, days),) = sample_run.query(
        "select sum(r.gross_revenue), count(*) from marts.fct_revenue_daily r join marts.dim_location l"
        " using (location_key) where l.source_system || ':' || l.location_id in (?, ?)",
        list(OWN),
    )
    card = revenue.card("gross_revenue")
    assert boards.card(who, revenue, card, Filters()).answer.rows == [(expected,)]
    assert len(boards.rows(who, revenue, card, Filters(), limit=10_000).answer.rows) == days > 0
    assert {place.name for place in boards.choices(who).locations} <= set(OWN)
    nobody = Viewer(who.role)
    assert boards.rows(nobody, revenue, card, Filters(), limit=10_000).answer.rows == []


def test_another_ones_location_in_the_filters_shows_nothing_of_it(
    boards: Boards, sample_run: SampleRun
) -> None:
    who = viewer(boards, "location_manager")
    ((foreign,),) = sample_run.query(
        "select location_key from marts.dim_location where source_system = 'store' and location_id is not null limit 1"
    )
    revenue = next(one for one in DASHBOARDS if one.name == "revenue")
    shown = boards.card(who, revenue, revenue.card("gross_revenue"), Filters(locations=(foreign,)))
    assert shown.answer.rows in ([(0,)], [(None,)])


def test_small_groups_of_customers_are_left_out_and_counted(metrics: Metrics, sample_run: SampleRun) -> None:
    ((smallest,),) = sample_run.query(
        "select min(cohort_customers) + 1 from marts.mart_cohort_triangle where month_number >= 1"
    )
    known = load_policy()
    policy = AccessPolicy(smallest, known.customer_dimensions, known.roles, known.customer_metrics)
    boards = Boards(Answers(metrics.client, policy, 60))
    cohorts = next(one for one in DASHBOARDS if one.name == "cohorts")
    found = boards.card(viewer(boards, "executive"), cohorts, cohorts.card("triangle"), Filters()).answer
    assert found.suppressed_rows > 0
    assert min(row["cohort_customers"] for row in found.records()) >= smallest
    ((all_rows,),) = sample_run.query(
        "select count(*) from marts.mart_cohort_triangle where month_number >= 1"
    )
    assert len(found.rows) + found.suppressed_rows == all_rows


def test_choices_are_what_a_role_may_be_told(boards: Boards, sample_run: SampleRun) -> None:
    everything = boards.choices(viewer(boards, "analyst"))
    assert set(everything.systems) == {"store", "restaurant"}
    assert len(everything.locations) == sample_run.query(
        "select count(distinct l.location_key) from marts.fct_orders o join marts.dim_location l using (location_key)"
        " where o.is_booked and l.location_id is not null"
    )[0][0]  # fmt: skip
    nothing = boards.choices(viewer(boards, "service_monitoring"))
    assert (nothing.systems, nothing.locations, nothing.categories, nothing.channels) == ((), (), (), ())
    assert nothing.last_day == everything.last_day


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "access" / "keys.sqlite")


def test_a_key_lets_its_holder_in_until_it_is_revoked_or_ends(keys: KeyStore) -> None:
    key, text = keys.create(
        role="location_manager",
        owner="ben",
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
        locations=OWN,
    )
    door = Doorkeeper(load_policy(), keys, None)
    assert door.asks_for_keys
    found = door.admit(f" {text} ", NOW)
    assert (found.role.name, found.locations) == ("location_manager", OWN)
    with pytest.raises(AccessError, match="a key is needed"):
        door.admit("", NOW)
    with pytest.raises(AccessError, match="no key of this server"):
        door.admit(text[:-1] + ("a" if text[-1] != "a" else "b"), NOW)
    with pytest.raises(AccessError, match="the key is expired"):
        door.admit(text, NOW + timedelta(days=1))
    keys.revoke(key.key_id, NOW)
    with pytest.raises(AccessError, match="the key is revoked"):
        door.admit(text, NOW)


def test_a_key_of_a_role_that_is_gone_lets_nobody_in(keys: KeyStore) -> None:
    _, text = keys.create(role="ghost", owner="x", created_at=NOW, expires_at=NOW + timedelta(days=1))
    with pytest.raises(AccessError, match="role is gone"):
        Doorkeeper(load_policy(), keys, None).admit(text, NOW)


def test_without_a_log_in_everybody_has_the_local_role(keys: KeyStore) -> None:
    assert Doorkeeper(load_policy(), keys, "finance").admit("anything", NOW).role.name == "finance"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "shop.example"])  # noqa: S104
def test_an_address_that_others_reach_is_refused_without_a_log_in(host: str) -> None:
    with pytest.raises(UsageError, match="nobody would have to sign in"):
        require_safe(host, load_policy(), "analyst")
    require_safe(host, load_policy(), None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_alone_needs_no_log_in(host: str) -> None:
    require_safe(host, load_policy(), "analyst")


def test_local_roles_are_known_and_not_of_single_locations() -> None:
    with pytest.raises(NotFoundError, match="no role 'boss'"):
        require_safe("127.0.0.1", load_policy(), "boss")
    with pytest.raises(UsageError, match="without a log-in there is no key"):
        require_safe("127.0.0.1", load_policy(), "location_manager")


def test_a_role_without_anything_sees_no_dashboard(boards: Boards) -> None:
    policy = boards.answers.policy
    nobody = Viewer(Role("nobody", "", frozenset(), frozenset(), frozenset(), policy.role("analyst").rows))
    assert all(boards.sight(nobody).reasons.values())
