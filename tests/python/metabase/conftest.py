"""A fake Metabase, and what it should hold over the sample company: all of it, or a little that is quickly written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from serving.access.policy import AccessPolicy, load_policy
from serving.dashboards.definitions import load_dashboards
from serving.metabase.desired import Wanted, wanted
from serving.metabase.documentation import read_documentation
from serving.metabase.server import MetabaseServer
from serving.metabase.settings import DatabaseSettings, MetabaseSettings
from serving.semantic import SemanticClient

from .fake_metabase import KEY, FakeMetabase, serving

if TYPE_CHECKING:
    from conftest import SampleRun

SECRET = "the readers' password"  # noqa: S105
LITTLE = ("home", "loyalty")


@pytest.fixture(scope="session")
def client(sample_run: SampleRun) -> Iterator[SemanticClient]:
    with SemanticClient.open(sample_run.home) as opened:
        yield opened


@pytest.fixture(scope="session")
def policy() -> AccessPolicy:
    return load_policy()


@pytest.fixture(scope="session")
def everything(sample_run: SampleRun, client: SemanticClient, policy: AccessPolicy) -> Wanted:
    details = {"host": "warehouse", "port": 5432, "dbname": "tillhouse", "user": "metabase_reader"}
    return wanted(
        client, policy, DatabaseSettings("postgres", details, SECRET), read_documentation(sample_run.home)
    )


@pytest.fixture(scope="session")
def little(sample_run: SampleRun, client: SemanticClient, policy: AccessPolicy, everything: Wanted) -> Wanted:
    """Two dashboards with two cards each, two tables, two roles: the same kinds of objects in fewer calls."""
    roles = {name: policy.roles[name] for name in ("finance", "location_manager")}
    some = replace(policy, roles=roles)
    dashboards = [
        one.model_copy(update={"cards": one.cards[:2]}) for one in load_dashboards() if one.name in LITTLE
    ]
    documentation = {
        name: told
        for name, told in read_documentation(sample_run.home).items()
        if name in {"dim_location", "dim_source_system"}
    }
    return wanted(client, some, everything.database, documentation, dashboards)


@pytest.fixture
def fake(everything: Wanted) -> Iterator[FakeMetabase]:
    tables = {place: tuple(told.columns) for place, told in everything.tables.items()}
    with serving(FakeMetabase(tables=tables)) as running:
        yield running
        assert running.invalid == []  # every body that any test sent is valid against the specification


@pytest.fixture
def server(fake: FakeMetabase) -> MetabaseServer:
    return MetabaseServer(MetabaseSettings(fake.url, api_key=KEY))
