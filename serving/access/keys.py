"""API keys: 256 random bits each, of which only the hash is kept, with role, owner and expiry.

They are in an SQLite file of the home folder, so that `tillhouse keys revoke` reaches a running API with its next
request, and so that no copy of the warehouse carries them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Container, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from settings.errors import AccessError, ConfigurationError, NotFoundError, UsageError

SECRET_BYTES = 32
TEXT_PATTERN = re.compile(r"tillhouse_(?P<key_id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)
LOCATION_PATTERN = re.compile(r"(store|restaurant):.+")
MAXIMUM_OWNER_CHARACTERS = 200
SCHEMA = """
    create table if not exists api_keys (
        key_id text primary key,
        secret_sha256 blob not null,
        role text not null,
        owner text not null,
        created_at text not null,
        expires_at text not null,
        revoked_at text
    );
    create table if not exists api_key_locations (
        key_id text not null references api_keys (key_id),
        location text not null,
        primary key (key_id, location)
    );
"""


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key; times are aware UTC.

    Attributes:
        key_id: the public part, by which logs and commands name the key.
        locations: `system:location id`, for a role that sees the rows of its locations alone.
    """

    key_id: str
    role: str
    owner: str
    locations: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """`valid`, `revoked` or `expired` at this moment; a key ends at its expiry, not after it."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


class KeyStore:
    """The keys of one home folder. Each call opens the file for itself, so threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(
        self,
        *,
        role: str,
        owner: str,
        created_at: datetime,
        expires_at: datetime,
        locations: Sequence[str] = (),
    ) -> tuple[ApiKey, str]:
        """Make a key; the text is to be handed to its owner and cannot be had again.

        Args:
            locations: `system:location id` each.

        Raises:
            UsageError: when there is no owner, the expiry is past, or a location has another form.
        """
        owner = owner.strip()
        if not owner or len(owner) > MAXIMUM_OWNER_CHARACTERS or not owner.isprintable():
            raise UsageError(
                f"the owner of a key is a name of 1 to {MAXIMUM_OWNER_CHARACTERS} printable characters",
                remedy="name the team or the program that will use the key",
                rule="key_owner",
            )
        if expires_at <= created_at:
            raise UsageError(
                "the key would have expired already", remedy="choose a later expiry", rule="key_expiry"
            )
        for location in locations:
            require_location(location)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(secrets.token_hex(6), role, owner, tuple(sorted(set(locations))), created_at, expires_at)
        with self._transaction() as connection:
            connection.execute(
                "insert into api_keys values (?, ?, ?, ?, ?, ?, null)",
                [
                    key.key_id, _digest(secret), key.role, key.owner,
                    key.created_at.isoformat(), key.expires_at.isoformat(),
                ],
            )  # fmt: skip
            connection.executemany(
                "insert into api_key_locations values (?, ?)",
                [(key.key_id, location) for location in key.locations],
            )
        return key, f"tillhouse_{key.key_id}_{secret}"

    def find(self, text: str) -> ApiKey | None:
        """The key that a caller shows; None where the text is no key of ours. Its state is still to be looked at."""
        shape = TEXT_PATTERN.fullmatch(text)
        if shape is None or not self._path.is_file():
            return None
        with self._transaction() as connection:
            found = connection.execute(
                "select secret_sha256 from api_keys where key_id = ?", [shape["key_id"]]
            ).fetchone()
            # An unknown id takes as long as a wrong secret.
            expected = found[0] if found else bytes(32)
            if not hmac.compare_digest(expected, _digest(shape["secret"])) or found is None:
                return None
            return _read(connection, "where key_id = ?", [shape["key_id"]])[0]

    def list(self) -> Sequence[ApiKey]:
        """All keys, in the order of their making."""
        if not self._path.is_file():
            return ()
        with self._transaction() as connection:
            return _read(connection, "", [])

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """End a key for good; one that was revoked before stays as it is.

        Raises:
            NotFoundError: when there is no such key.
        """
        if self._path.is_file():
            with self._transaction() as connection:
                connection.execute(
                    "update api_keys set revoked_at = ? where key_id = ? and revoked_at is null",
                    [at.isoformat(), key_id],
                )
                found = _read(connection, "where key_id = ?", [key_id])
            if found:
                return found[0]
        raise NotFoundError(
            f"there is no key {key_id!r}", remedy="`tillhouse keys list` shows their ids", rule="key"
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Made before SQLite does, which would make it readable to others.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                connection.executescript(SCHEMA)
                yield connection
        except (OSError, sqlite3.DatabaseError) as error:
            raise ConfigurationError(
                f"the keys in {self._path} cannot be used: {error}",
                remedy="see that the file is whole and that you may write to it",
                rule="key_file",
            ) from error


def require_location(location: str) -> str:
    """The text, where it has the form `system:location id`.

    Raises:
        UsageError: when it has another.
    """
    if LOCATION_PATTERN.fullmatch(location) is None:
        raise UsageError(
            f"{location!r} names no location",
            remedy="write the source system and the id: restaurant:R01",
            rule="key_location",
        )
    return location


def require_valid(keys: KeyStore, text: str, *, roles: Container[str], now: datetime) -> ApiKey:
    """The key that somebody shows, where it is valid now and the policy has its role.

    Raises:
        AccessError: saying why not, and nothing about other keys.
    """
    key = keys.find(text.strip())
    if key is None:
        raise _refused("this is no key of this server" if text.strip() else "a key is needed")
    state = key.state(now)
    if state != "valid":
        raise _refused(f"the key is {state}")
    if key.role not in roles:
        raise _refused("the key's role is gone")
    return key


def _refused(problem: str) -> AccessError:
    return AccessError(
        problem, remedy="whoever runs the server makes keys with `tillhouse keys create`", rule="key"
    )


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: nobody can try them out.
    return hashlib.sha256(secret.encode("ascii")).digest()


def _read(connection: sqlite3.Connection, where: str, parameters: Sequence[str]) -> list[ApiKey]:
    rows = connection.execute(
        f"select key_id, role, owner, created_at, expires_at, revoked_at from api_keys {where}"
        " order by created_at, key_id",
        parameters,
    ).fetchall()
    locations: dict[str, list[str]] = {}
    for key_id, location in connection.execute(
        "select key_id, location from api_key_locations order by location"
    ):
        locations.setdefault(key_id, []).append(location)
    return [
        ApiKey(
            key_id, role, owner, tuple(locations.get(key_id, ())), _moment(created), _moment(expires),
            _moment(revoked) if revoked else None,
        )
        for key_id, role, owner, created, expires, revoked in rows
    ]  # fmt: skip


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
