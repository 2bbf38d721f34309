"""API keys: what is kept of them, and when they end."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.access.keys import KeyStore
from settings.errors import ConfigurationError, NotFoundError, UsageError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=90)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "access" / "keys.sqlite")


def test_a_key_is_found_by_its_text_alone(store: KeyStore) -> None:
    key, text = store.create(role="finance", owner="closing the books", created_at=NOW, expires_at=LATER)
    _, other = store.create(role="analyst", owner="somebody", created_at=NOW, expires_at=LATER)
    assert store.find(text) == key
    assert text != other
    assert len(base64.urlsafe_b64decode(text[-43:] + "=")) == 32  # 256 bits
    for wrong in (
        "", key.key_id, text[:-1], text + "A", text.upper(), f" {text}", f"{text}\n",
        text[: -43] + other[-43:], f"tillhouse_{'0' * 12}_{text[-43:]}", text.replace("tillhouse", "Tillhouse"),
    ):  # fmt: skip
        assert store.find(wrong) is None, wrong


def test_no_byte_on_disk_is_the_secret(store: KeyStore, tmp_path: Path) -> None:
    _, text = store.create(role="finance", owner="team", created_at=NOW, expires_at=LATER)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"team" in written
    assert text[-43:].encode() not in written
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_key_ends_at_its_expiry_or_when_it_is_revoked(store: KeyStore) -> None:
    key, text = store.create(role="finance", owner="team", created_at=NOW, expires_at=LATER)
    assert key.state(NOW) == "valid"
    assert key.state(LATER - timedelta(microseconds=1)) == "valid"
    assert key.state(LATER) == "expired"
    assert store.revoke(key.key_id, NOW + timedelta(hours=1)).revoked_at == NOW + timedelta(hours=1)
    found = store.find(text)
    assert found is not None
    assert found.state(NOW) == "revoked"
    # Revoking again does not move the moment.
    assert store.revoke(key.key_id, LATER).revoked_at == NOW + timedelta(hours=1)


def test_locations_stay_with_their_key(store: KeyStore) -> None:
    first, _ = store.create(
        role="location_manager", owner="a", created_at=NOW, expires_at=LATER,
        locations=["restaurant:R02", "restaurant:R01", "restaurant:R02"],
    )  # fmt: skip
    second, _ = store.create(role="finance", owner="b", created_at=NOW + timedelta(1), expires_at=LATER)
    assert first.locations == ("restaurant:R01", "restaurant:R02")
    assert list(store.list()) == [first, second]


def test_keys_made_at_once_are_all_kept(store: KeyStore) -> None:
    def create(number: int) -> str:
        return store.create(role="finance", owner=f"team {number}", created_at=NOW, expires_at=LATER)[1]

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(create, range(24)))
    assert len(set(texts)) == 24
    assert {key.owner for key in store.list()} == {f"team {number}" for number in range(24)}
    assert all(store.find(text) is not None for text in texts)


@pytest.mark.parametrize("owner", ["", "   ", "x" * 201, "line\nbreak"])
def test_a_key_has_an_owner(store: KeyStore, owner: str) -> None:
    with pytest.raises(UsageError, match="owner"):
        store.create(role="finance", owner=owner, created_at=NOW, expires_at=LATER)


@pytest.mark.parametrize("location", ["R01", "store:", "shop:R01", ""])
def test_a_location_is_named_with_its_system(store: KeyStore, location: str) -> None:
    with pytest.raises(UsageError, match="location"):
        store.create(role="r", owner="o", created_at=NOW, expires_at=LATER, locations=[location])


def test_a_key_that_would_have_expired_is_not_made(store: KeyStore) -> None:
    with pytest.raises(UsageError, match="expired"):
        store.create(role="finance", owner="team", created_at=NOW, expires_at=NOW)


def test_without_a_file_there_are_no_keys(store: KeyStore, tmp_path: Path) -> None:
    assert store.find(f"tillhouse_{'0' * 12}_{'A' * 43}") is None
    assert list(store.list()) == []
    with pytest.raises(NotFoundError):
        store.revoke("0" * 12, NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told(store: KeyStore, tmp_path: Path) -> None:
    file = tmp_path / "access" / "keys.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        store.list()
