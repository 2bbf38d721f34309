"""Every failure of the server is an error of ours with a next step, and no message holds a secret."""

from __future__ import annotations

import pytest

from serving.metabase.server import MetabaseServer
from serving.metabase.settings import DatabaseSettings, MetabaseSettings, is_configured
from settings.errors import AccessError, ConfigurationError, NotFoundError, TillhouseError, UnavailableError
from settings.home import Home

from .fake_metabase import KEY, PASSWORD, USER, FakeMetabase

ANSWERS = {
    401: (AccessError, "does not accept the log-in"),
    403: (AccessError, "does not let this log-in"),
    404: (NotFoundError, "has nothing at"),
    409: (UnavailableError, "permissions were changed"),
    400: (ConfigurationError, "refused"),
    302: (ConfigurationError, "refused"),
    500: (UnavailableError, "failed at"),
    503: (UnavailableError, "failed at"),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_a_status_becomes_an_error_with_a_next_step(
    fake: FakeMetabase, server: MetabaseServer, status: int
) -> None:
    kind, words = ANSWERS[status]
    fake.answers["/api/permissions/group"] = (status, f'{{"message": "no: {KEY}"}}')
    for call in (
        lambda: server.get("/api/permissions/group"),
        lambda: server.post("/api/permissions/group", {"name": "x"}),
        lambda: server.put("/api/permissions/group", {"name": "x"}),
    ):
        with pytest.raises(kind, match=words) as raised:
            call()
        assert raised.value.remedy
        assert KEY not in str(raised.value)


def test_a_page_in_place_of_json_is_told(fake: FakeMetabase, server: MetabaseServer) -> None:
    fake.answers["/api/permissions/group"] = (200, "<html>log in</html>")
    with pytest.raises(UnavailableError, match="is no JSON"):
        server.get("/api/permissions/group")


def test_a_wrong_key_and_a_wrong_password_are_access_errors(fake: FakeMetabase) -> None:
    with pytest.raises(AccessError, match="METABASE_API_KEY") as raised:
        MetabaseServer(MetabaseSettings(fake.url, api_key="mb_wrong")).get("/api/permissions/group")
    assert "mb_wrong" not in str(raised.value)
    wrong = MetabaseSettings(fake.url, user=USER, password="guessed")  # noqa: S106
    with pytest.raises(AccessError, match="METABASE_USER") as raised:
        MetabaseServer(wrong).get("/api/permissions/group")
    assert "guessed" not in str(raised.value)


def test_a_session_that_ended_is_begun_again(fake: FakeMetabase) -> None:
    server = MetabaseServer(MetabaseSettings(fake.url, user=USER, password=PASSWORD))
    assert server.get("/api/permissions/group")
    fake.sessions.clear()
    assert server.get("/api/permissions/group")
    assert [path for _, path in fake.requests].count("/api/session/") == 2


def test_nothing_is_sent_before_the_first_call(fake: FakeMetabase) -> None:
    MetabaseServer(MetabaseSettings(fake.url, user=USER, password=PASSWORD))
    assert fake.requests == []


def test_a_server_that_is_not_there_or_too_slow_is_unavailable(
    fake: FakeMetabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnavailableError, match="cannot be reached"):
        MetabaseServer(MetabaseSettings("http://127.0.0.1:9", api_key=KEY)).get("/api/permissions/group")
    monkeypatch.setattr("serving.metabase.server.TIMEOUT_SECONDS", (1.0, 0.05))
    with fake._lock, pytest.raises(UnavailableError, match="did not answer in time"):
        MetabaseServer(MetabaseSettings(fake.url, api_key=KEY)).get("/api/permissions/group")


def test_a_redirect_is_not_followed_with_the_key(fake: FakeMetabase, server: MetabaseServer) -> None:
    fake.answers["/api/permissions/group"] = (301, "")
    with pytest.raises(ConfigurationError, match="status 301"):
        server.get("/api/permissions/group")


@pytest.mark.parametrize(
    "url", ["", "bi.example.com", "ftp://bi", "https://", "https://anna:secret@bi.example.com"]
)
def test_an_address_that_is_none_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("METABASE_URL", url)
    monkeypatch.setenv("METABASE_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="METABASE_URL") as raised:
        MetabaseSettings.from_environment()
    assert "secret" not in str(raised.value)


def test_settings_come_from_the_environment_and_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_configured()
    monkeypatch.setenv("METABASE_URL", "https://bi.example.com/")
    with pytest.raises(ConfigurationError, match="no log-in"):
        MetabaseSettings.from_environment()
    monkeypatch.setenv("METABASE_API_KEY", KEY)
    found = MetabaseSettings.from_environment()
    assert found.url == "https://bi.example.com"
    assert KEY not in repr(found)
    assert is_configured()


def test_the_readers_connection_has_a_login_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    home = Home.from_environment()
    with pytest.raises(ConfigurationError, match="METABASE_DB_USER and METABASE_DB_PASSWORD"):
        DatabaseSettings.from_environment("postgres", home)
    monkeypatch.setenv("METABASE_DB_USER", "metabase_reader")
    monkeypatch.setenv("METABASE_DB_PASSWORD", "hidden")
    monkeypatch.setenv("METABASE_DB_HOST", "warehouse.internal")
    found = DatabaseSettings.from_environment("postgres", home)
    assert found.details["host"] == "warehouse.internal"
    assert found.details["schema-filters-patterns"] == "published_marts,published_quality"
    assert "hidden" not in repr(found)
    monkeypatch.setenv("METABASE_DB_PORT", "many")
    with pytest.raises(ConfigurationError, match="no port"):
        DatabaseSettings.from_environment("postgres", home)


def test_duckdb_is_read_from_the_published_file_and_redshift_not_at_all() -> None:
    home = Home.from_environment()
    found = DatabaseSettings.from_environment("duckdb", home)
    assert (found.engine, found.details["database_file"]) == ("duckdb", str(home.published))
    assert found.details["read_only"] is True
    with pytest.raises(TillhouseError, match="redshift"):
        DatabaseSettings.from_environment("redshift", home)
