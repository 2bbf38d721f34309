"""Who sees which card and table follows from the access policy."""

from __future__ import annotations

from serving.access.policy import AccessPolicy
from serving.dashboards.definitions import load_dashboards
from serving.metabase.desired import Wanted, readers_of_card
from serving.semantic import SemanticClient


def readers(client: SemanticClient, policy: AccessPolicy, dashboard: str, card: str) -> set[str]:
    (found,) = [one for one in load_dashboards() if one.name == dashboard]
    return set(readers_of_card(found.card(card), found, policy, client.catalogue()))


def test_a_card_is_shown_to_roles_that_may_see_all_of_it(
    client: SemanticClient, policy: AccessPolicy
) -> None:
    assert readers(client, policy, "home", "net_revenue") == {"analyst", "executive", "finance", "marketing"}
    assert readers(client, policy, "home", "at_risk_share") == {"analyst", "executive", "marketing"}
    assert readers(client, policy, "customer_lifetime_value", "top_customers") == {"analyst", "marketing"}
    assert readers(client, policy, "inventory_alerts", "order_list") == {"analyst", "executive", "operations"}


def test_every_card_is_in_the_folder_of_just_its_readers(
    client: SemanticClient, policy: AccessPolicy, everything: Wanted
) -> None:
    folders = {one.key: one.readers for one in everything.collections}
    cards = {one.key: one for one in everything.cards}
    for dashboard in load_dashboards():
        seen_by: set[str] = set()
        for card in dashboard.cards:
            wanted = readers_of_card(card, dashboard, policy, client.catalogue())
            assert folders[cards[f"card.{dashboard.name}.{card.name}"].collection] == wanted
            seen_by |= wanted
        (page,) = [one for one in everything.dashboards if one.key == f"dashboard.{dashboard.name}"]
        assert folders[page.collection] == seen_by


def test_a_group_may_ask_the_marts_of_its_role_and_no_other(policy: AccessPolicy, everything: Wanted) -> None:
    published = {name for _, name in everything.tables}
    groups = {one.role: one for one in everything.groups}
    assert {name for name in policy.roles if not name.startswith("service_")} == groups.keys()
    for role, group in groups.items():
        expected = policy.roles[role].marts & published if role != "location_manager" else set()
        assert group.tables == expected
        assert group.name == f"tillhouse_{role}"


def test_whoever_sees_some_locations_alone_sees_no_card(everything: Wanted) -> None:
    assert [one.key for one in everything.collections if "location_manager" in one.readers] == ["root"]


def test_every_published_mart_is_described(everything: Wanted) -> None:
    assert len(everything.tables) > 40
    assert all(told.description for told in everything.tables.values())
    assert all(column.description for told in everything.tables.values() for column in told.columns.values())
