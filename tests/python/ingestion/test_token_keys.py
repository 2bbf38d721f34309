"""The development key is known to everyone: it may serve this machine, loudly, and no other."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from shop import Shop, orders

from ingestion.tokens import warn_about_development_key
from ingestion.warehouses import is_this_machine, require_token_key
from settings.errors import ConfigurationError

PROFILE = """
tillhouse:
  outputs:
    postgres: {type: postgres, host: "%s", user: nobody, dbname: nothing}
"""


@pytest.fixture
def without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILLHOUSE_TOKEN_KEY")
    monkeypatch.delenv("PGHOST", raising=False)


@pytest.mark.parametrize(
    "host", ["", "localhost", "LocalHost", "127.0.0.1", "127.9.8.7", "::1", "[::1]", "/run/pg"]
)
def test_sockets_and_loopback_addresses_are_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    ["db", "10.0.0.5", "localhost.example.org", "127.0.0.1.example.org", "128.0.0.1", "::2"],
)
def test_every_other_name_is_another_machine(host: str) -> None:
    assert not is_this_machine(host)


def profile(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    (folder / "profiles.yml").write_text(PROFILE % host)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(folder))


@pytest.mark.usefixtures("without_key")
@pytest.mark.parametrize("host", ["db.example.org", "localhost,db.example.org", "10.0.0.5"])
def test_without_a_key_nothing_is_loaded_into_another_machine(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile(tmp_path, monkeypatch, host)
    shop = Shop.at(tmp_path / "home")
    shop.deliver("a.csv", orders([1]))
    with pytest.raises(ConfigurationError, match="TILLHOUSE_TOKEN_KEY is not set") as caught:
        shop.service("postgres").ingest("run-1")
    assert caught.value.rule == "token_key"
    assert list(shop.home.bronze.iterdir()) == []
    monkeypatch.setenv("TILLHOUSE_TOKEN_KEY", "a key of our own")
    require_token_key("postgres")


@pytest.mark.usefixtures("without_key")
def test_the_host_may_come_from_the_environment_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile(tmp_path, monkeypatch, "")
    require_token_key("postgres")
    monkeypatch.setenv("PGHOST", "db.example.org")
    with pytest.raises(ConfigurationError):
        require_token_key("postgres")


@pytest.mark.usefixtures("without_key")
def test_on_this_machine_the_development_key_is_told_of_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warn_about_development_key.cache_clear()
    shop = Shop.at(tmp_path / "home")
    shop.add_feed("people", "store.customers")
    shop.deliver("p.csv", "id,email,signup_date\nC1,ann@example.org,2026-01-02\n", "people")
    with caplog.at_level(logging.WARNING):
        shop.run()
    warn_about_development_key.cache_clear()
    assert [record for record in caplog.records if "DEVELOPMENT KEY" in record.getMessage()]
