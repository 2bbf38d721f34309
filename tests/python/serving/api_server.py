"""The API over the sample company, in this process, with a key for each role."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving.access.keys import KeyStore
from serving.access.policy import AccessPolicy, RowRule, load_policy
from serving.api.application import ApiSettings, create_app
from settings.home import Home

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OWN_LOCATIONS = ("restaurant:00101", "restaurant:00108")
MANY = ApiSettings(requests_per_minute=1_000_000, timeout_seconds=30)


@dataclass
class Api:
    """A running API and who may call it."""

    app: FastAPI
    client: TestClient
    home: Home
    keys: Mapping[str, str]

    def get(self, path: str, role: str = "analyst", **parameters: Any) -> httpx2.Response:
        """Ask as a role; parameters go into the query string."""
        return self.client.get(path, params=parameters, headers=self.headers(role))

    def query(self, role: str = "analyst", **body: Any) -> httpx2.Response:
        """Ask /query as a role."""
        return self.client.post("/query", json=body, headers=self.headers(role))

    def headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def sql(self, text: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of the published marts, by another way than the API's."""
        with duckdb.connect(str(self.home.published), read_only=True) as connection:
            return connection.execute(text, values or []).fetchall()

    @property
    def audit(self) -> str:
        return (self.home.logs / "api_audit.jsonl").read_text(encoding="utf-8")


@contextmanager
def serving(
    published: Path,
    root: Path,
    *,
    settings: ApiSettings = MANY,
    policy: AccessPolicy | None = None,
    now: datetime = NOW,
    target: str = "duckdb",
) -> Iterator[Api]:
    """An API over a copy of a published file: the sample's is one file that stands alone."""
    home = Home(root).ensure()
    shutil.copyfile(published, home.published)
    store = KeyStore(home.api_keys)
    roles = (policy or load_policy()).roles
    keys = {
        role.name: store.create(
            role=role.name,
            owner="tests",
            created_at=NOW,
            expires_at=NOW + timedelta(days=1),
            locations=OWN_LOCATIONS if role.rows is RowRule.LOCATIONS else (),
        )[1]
        for role in roles.values()
    }
    app = create_app(home, target=target, settings=settings, policy=policy, now=lambda: now)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Api(app, client, home, keys)
