"""Against a real Metabase, where METABASE_URL names one. It writes into that server: use one that may be written to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from serving.metabase.open import open_metabase
from serving.metabase.provisioning import apply, drift, plan

if TYPE_CHECKING:
    from conftest import SampleRun

pytestmark = pytest.mark.skipif(
    not os.environ.get("METABASE_URL"),
    reason="METABASE_URL names no Metabase server (docs/guides/metabase.md says how to start one)",
)


@pytest.fixture
def target() -> Iterator[str]:
    yield os.environ.get("METABASE_TEST_TARGET", "duckdb")


def test_plan_apply_plan_on_a_real_server(sample_run: SampleRun, target: str) -> None:
    server, wanted = open_metabase(sample_run.home, target)
    apply(server, wanted)
    assert plan(server, wanted) == []
    assert drift(server, wanted) == []
    # Every card answers.
    marked = [
        card for card in server.get("/api/card/", f="all") if "[tillhouse:" in (card["description"] or "")
    ]
    assert len(marked) >= len(wanted.cards)
    for card in marked:
        answer = server.post(f"/api/card/{card['id']}/query", {"ignore_cache": True})
        assert answer["status"] == "completed", f"{card['name']}: {answer.get('error')}"
