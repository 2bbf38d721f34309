"""Definitions of dashboards: everything they name is published, and what they get wrong is told with file and card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.dashboards.boards import Boards
from serving.dashboards.definitions import DEFINITIONS, Card, Chart, Dashboard, load_dashboards
from serving.dashboards.questions import PERIOD_COLUMNS, TABLES_WITHOUT_PERIOD, require_published
from settings.errors import ConfigurationError
from settings.home import PROJECT_ROOT

WANTED = {
    "home", "revenue", "customer_lifetime_value", "segments", "churn", "cohorts", "sales", "loyalty", "locations",
    "discounts", "payments", "inventory_alerts", "data_quality",
}  # fmt: skip


def test_the_dashboards_are_there_and_ask_for_what_is_published(boards: Boards) -> None:
    assert {dashboard.name for dashboard in boards.dashboards} == WANTED
    assert boards.dashboards[0].name == "home"
    boards.require_published()


def test_owners_are_those_of_dbt_groups() -> None:
    groups = yaml.safe_load((PROJECT_ROOT / "models" / "groups.yml").read_text(encoding="utf-8"))["groups"]
    assert {dashboard.owner for dashboard in load_dashboards()} <= {
        group["owner"]["name"] for group in groups
    }


def test_home_compares_with_the_period_before_and_tells_the_state_of_the_data() -> None:
    home = load_dashboards()[0]
    assert sum(card.compare is not None for card in home.cards) >= 4
    shown = {name for card in home.cards for name in card.metrics}
    assert {"freshness_hours", "quarantine_rate", "missing_deliveries"} <= shown


def test_every_card_says_how_to_read_it_and_fits_the_grid() -> None:
    for dashboard in load_dashboards():
        for card in dashboard.cards:
            assert card.text.endswith("."), f"{dashboard.name}.{card.name}"
            assert card.drill is not None, f"{dashboard.name}.{card.name}"


def test_tables_with_and_without_a_period_are_published_ones(boards: Boards) -> None:
    marts = boards.answers.marts()
    for name, column in PERIOD_COLUMNS.items():
        assert marts[name].columns[column] == "date", name
    assert set(marts) >= TABLES_WITHOUT_PERIOD


def changed(folder: Path, change: dict[str, Any], *, card: int | None = 0) -> Path:
    """A folder with the dashboard of revenue alone, of which a part is different."""
    text = yaml.safe_load((DEFINITIONS / "revenue.yml").read_text(encoding="utf-8"))
    (text["cards"][card] if card is not None else text).update(change)
    (folder / "revenue.yml").write_text(yaml.safe_dump(text), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "card", "told"),
    [
        ({"colour": "red"}, 0, "card gross_revenue: colour: there is no such key; there are name, title, text"),
        ({"colour": "red"}, None, "colour: there is no such key; there are name, title, order, question"),
        ({"encoding": {"z": "grain"}}, 4, "card bridge_trend: encoding.z: there is no such key; there are x, y"),
        ({"chart": "pie"}, 0, "card gross_revenue: chart: Input should be 'number', 'line'"),
        ({"mart": "fct_orders"}, 0, "card gross_revenue: a card has either `metrics` or a `mart`"),
        ({"metrics": []}, 0, "card gross_revenue: a card has either `metrics` or a `mart`"),
        ({"metrics": [], "mart": "fct_orders"}, 9, "card figures: a card of a mart has no `grain`"),
        ({"columns": ["orders"]}, 0, "card gross_revenue: a card of metrics has no `columns`"),
        ({"by": ["system"]}, 0, "card gross_revenue: a number is one metric"),
        ({"compare": "previous_period"}, 4, "card bridge_trend: only a number is compared"),
        ({"not_applied": ["period"]}, 0, "card gross_revenue: a figure that does not follow the period"),
        ({"encoding": {"x": "grain"}}, 4, "card bridge_trend: a line needs encoding y"),
        ({"encoding": {"x": "grain", "y": "orders"}}, 4, "encoding names orders; the answer has grain, gross_revenue"),
        ({"where": {"system": {"~": "store"}}}, 0, "where system: '~' is none of =, !="),
        ({"width": 25}, 0, "card gross_revenue: width: Input should be less than or equal to 24"),
        ({"name": "discounts"}, 0, "two cards are called discounts"),
        ({"filters": ["period"]}, None, None),
        ({"filters": ["weather"]}, None, "filters.0: Input should be 'period', 'system'"),
        ({"name": "sales"}, None, "it is called sales, its file revenue"),
        ({"order": 0}, None, "order: Input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_told_with_file_and_card(
    tmp_path: Path, change: dict[str, Any], card: int | None, told: str | None
) -> None:
    folder = changed(tmp_path, change, card=card)
    if told is None:
        assert len(load_dashboards(folder)) == 1
        return
    with pytest.raises(ConfigurationError, match=r"the dashboard revenue\.yml cannot be used") as caught:
        load_dashboards(folder)
    assert told in str(caught.value)


def test_two_dashboards_cannot_have_one_place(tmp_path: Path) -> None:
    changed(tmp_path, {})
    (tmp_path / "home.yml").write_text(
        (DEFINITIONS / "home.yml").read_text(encoding="utf-8").replace("order: 1\n", "order: 2\n"),
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationError, match="both have order 2"):
        load_dashboards(tmp_path)


def test_no_file_is_no_dashboard(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no dashboard is defined"):
        load_dashboards(tmp_path)
    (tmp_path / "broken.yml").write_text("name: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"broken\.yml cannot be used"):
        load_dashboards(tmp_path)


def with_card(card: Card) -> Dashboard:
    return load_dashboards()[1].model_copy(update={"cards": (card,)})


@pytest.mark.parametrize(
    ("number", "change", "told"),
    [
        (0, {"metrics": ("gros_revenue",)}, "there is no metric 'gros_revenue'; use one of active_customer_share"),
        (5, {"by": ("colour",)}, "net_revenue has no dimension 'colour'; use one of activity_status"),
        (5, {"metrics": ("payment_amount",)}, "payment_amount has no dimension 'category'"),
        (0, {"drill": "fct_secrets"}, "no published mart fct_secrets that the access policy allows; there are dim_"),
        (0, {"drill": "int_orders_united"}, "there is no published mart int_orders_united"),
        (0, {"not_applied": ("channel",)}, "not_applied has to be []: it can take category, channel"),
        (0, {"metrics": ("total_order_amount",)}, "not_applied has to be [category]"),
        (0, {"metrics": ("at_risk_share",), "compare": None},
         "not_applied has to be [period, location, category, channel]: it can take system"),
    ],
)  # fmt: skip
def test_names_that_are_not_published_are_told_with_file_card_and_what_there_is(
    boards: Boards, number: int, change: dict[str, Any], told: str
) -> None:
    card = load_dashboards()[1].cards[number].model_copy(update=change)
    with pytest.raises(ConfigurationError, match=re.escape(f"revenue.yml, card {card.name}: ")) as caught:
        require_published(
            [with_card(card)], boards.answers.client, boards.answers.marts(), boards.answers.policy
        )
    assert told in str(caught.value)


def test_columns_of_a_mart_are_held_to_it(boards: Boards) -> None:
    card = Card(
        name="rows", title="Rows", text="Rows.", chart=Chart.TABLE, mart="mart_peak_periods",
        columns=("hour", "minute"), order_by=("second",), where={"day": 1}, width=24, height=4,
    )  # fmt: skip
    with pytest.raises(
        ConfigurationError, match=r"mart_peak_periods has no column day, minute, second; it has peak"
    ):
        require_published(
            [with_card(card)], boards.answers.client, boards.answers.marts(), boards.answers.policy
        )
