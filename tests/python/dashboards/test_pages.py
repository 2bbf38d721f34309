"""The pages without a browser: signing in, what each role is told, and pages that cannot show anything."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
import streamlit as st
from conftest import SampleRun
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from serving.access.answers import Answer, Answers
from serving.access.keys import KeyStore
from serving.dashboards.server import APP
from settings.errors import BusyError, ConfigurationError, UnavailableError
from settings.home import HOME_VARIABLE, Home

RUN_SECONDS = 120

Start = Callable[..., AppTest]
INSTALLED_COMPONENTS = cache(manifest_scanner.scan_component_manifests)


@pytest.fixture
def home(sample_run: SampleRun, tmp_path: Path) -> Home:
    """A home of its own, over the same published files."""
    found = Home(tmp_path / "own").ensure()
    shutil.copyfile(sample_run.published, found.published)
    return found


@pytest.fixture
def start(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Runs the app over the home."""
    # Each AppTest reads what is said of every installed package anew, in search of components.
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", INSTALLED_COMPONENTS)

    def run(*words: str, address: str = "127.0.0.1", folder: Path | None = None) -> AppTest:
        monkeypatch.setenv(HOME_VARIABLE, str(folder or home.root))
        monkeypatch.setattr(sys, "argv", [str(APP), *words])
        st.config.set_option("server.address", address)
        return AppTest.from_file(APP, default_timeout=RUN_SECONDS)

    yield run
    st.cache_resource.clear()
    st.config.set_option("server.address", None)


def key_for(home: Home, role: str, *locations: str) -> tuple[str, str]:
    now = datetime.now(UTC)
    key, text = KeyStore(home.api_keys).create(
        role=role, owner="tests", created_at=now, expires_at=now + timedelta(days=1), locations=locations
    )
    return key.key_id, text


def sign_in(app: AppTest, text: str) -> None:
    app.text_input[0].set_value(text)
    app.button[0].click().run()


def turn_to(app: AppTest, page: str) -> None:
    # AppTest turns to pages that are files; ours are functions, found by their address.
    app._page_hash = next(
        one for one, info in app._registered_pages.items() if info.get("url_pathname") == page
    )
    app.run()


def told(app: AppTest) -> str:
    return "\n".join(one.value for one in [*app.caption, *app.markdown, *app.info, *app.warning, *app.error])


def test_nobody_sees_a_figure_without_a_key(start: Start) -> None:
    app = start().run()
    assert app.title[0].value == "Sign in"
    assert not app.metric
    assert not app.error
    sign_in(app, "tillhouse_0123456789ab_" + "x" * 43)
    assert [one.value for one in app.error] == ["This is no key of this server."]
    assert not app.metric


def test_a_signed_in_role_sees_its_pages_and_is_told_of_the_others(start: Start, home: Home) -> None:
    key_id, text = key_for(home, "marketing")
    app = start().run()
    sign_in(app, text)
    assert app.title[0].value == "Home"
    assert {one.label for one in app.metric} >= {"Net revenue", "Customers at risk"}
    assert "Products to reorder" not in {one.label for one in app.metric}
    assert "You see this as **marketing**" in told(app)
    assert "Not for this role: Payments, Inventory alerts, Data quality." in told(app)
    assert "**Products to reorder**: the role marketing may not see the metrics inventory_alerts." in told(
        app
    )
    turn_to(app, "payments")
    assert [one.value for one in app.info] == ["Your role marketing may see nothing of this page."]
    assert not app.metric
    KeyStore(home.api_keys).revoke(key_id, datetime.now(UTC))
    app.run()
    assert app.title[0].value == "Sign in"
    assert [one.value for one in app.error] == ["The key is revoked."]


def test_signing_out_ends_the_session(start: Start, home: Home) -> None:
    app = start().run()
    sign_in(app, key_for(home, "finance")[1])
    next(one for one in app.button if one.label == "Sign out").click().run()
    assert app.title[0].value == "Sign in"
    assert not app.metric


def test_a_role_of_single_locations_chooses_among_its_own(start: Start, home: Home) -> None:
    app = start().run()
    sign_in(app, key_for(home, "location_manager", "restaurant:00101")[1])
    location = next(one for one in app.multiselect if one.label == "Location")
    assert len(location.options) == 1
    assert not app.exception


def test_streamlit_started_by_hand_on_every_address_is_refused(start: Start) -> None:
    app = start("--role", "analyst", address="").run()
    assert "nobody would have to sign in" in app.warning[0].value
    assert not app.metric


def test_without_a_publication_it_says_what_to_do(start: Start, tmp_path: Path) -> None:
    app = start("--role", "analyst", folder=Home(tmp_path / "empty").ensure().root).run()
    assert "Nothing is published in" in app.info[0].value
    assert "tillhouse demo" in app.info[0].value
    assert not app.exception


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            UnavailableError("x", remedy="ask for less", rule="timeout"),
            "The answer took too long. Ask for less.",
        ),
        (BusyError("x", remedy="try again"), "The warehouse cannot answer at present. Try again."),
        (ConfigurationError("/secret/path", remedy="x"), "This cannot be shown at present."),
    ],
)
def test_a_card_that_cannot_be_shown_says_why_and_the_others_stand(
    start: Start, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    query = Answers.query

    def failing(self: Answers, viewer: object, asked: object) -> Answer:
        if getattr(asked, "metrics", ()) == ("return_rate",):
            raise error
        return query(self, viewer, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(Answers, "query", failing)
    app = start("--role", "analyst").run()
    assert expected in told(app)
    assert "/secret/path" not in told(app)
    assert {one.label for one in app.metric} >= {"Net revenue", "Orders"}
    assert "Return rate" not in {one.label for one in app.metric}


def test_filters_that_leave_nothing_are_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    app = start("--role", "analyst")
    app.query_params["period"] = "1999-01-01..1999-01-31"
    app.run()
    assert "Nothing is there under these filters." in told(app)
    assert next(one for one in app.metric if one.label == "Average order value").value == "–"
    assert "There is nothing to divide by under these filters." in told(app)
    assert not app.exception


def test_days_can_be_chosen(start: Start) -> None:
    app = start("--role", "analyst").run()
    whole = next(one for one in app.metric if one.label == "Orders").value
    period = next(one for one in app.selectbox if one.label == "Period")
    period.set_value("custom").run()
    last = app.date_input[0].value[1]
    app.date_input[0].set_value((last - timedelta(days=2), last)).run()
    assert app.query_params["period"] == f"{last - timedelta(days=2)}..{last}"
    assert next(one for one in app.metric if one.label == "Orders").value != whole
    app.date_input[0].set_value((last - timedelta(days=5),)).run()
    assert "Choose the last day as well." in told(app)
    assert app.query_params["period"] == f"{last - timedelta(days=2)}..{last}"


def test_rows_behind_a_figure_open(start: Start) -> None:
    app = start("--role", "analyst").run()
    next(one for one in app.button if one.key == "rows-home-orders").click().run()
    assert any("`fct_orders`, under the same filters: 1,000 rows." in one.value for one in app.markdown)
    assert "The newest 1,000 are shown." in told(app)


def test_a_new_publication_is_taken_up(start: Start, home: Home, sample_run: SampleRun) -> None:
    app = start("--role", "analyst").run()
    before = home.published.stat().st_ino
    other = home.published.with_suffix(".new")
    shutil.copyfile(sample_run.published, other)
    other.replace(home.published)
    assert home.published.stat().st_ino != before
    app.run()
    assert app.metric
    assert not app.exception
