"""Against a real Metabase, where METABASE_URL names one. It writes into that server: use one that may be written to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from serving.metabase.open import open_metabase
from serving.metabase.provisioning import apply, drift, plan

if TYPE_CHECKING:
    from conftest import SampleRun

ENVIRONMENT = {name: value for name, value in os.environ.items() if name.startswith("METABASE_")}
pytestmark = pytest.mark.skipif(
    "METABASE_URL" not in ENVIRONMENT,
    reason="METABASE_URL names no Metabase server (docs/guides/metabase.md says how to start one)",
)


def test_plan_apply_plan_on_a_real_server(sample_run: SampleRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server, wanted = open_metabase(sample_run.home, "duckdb")
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
