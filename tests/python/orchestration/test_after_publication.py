"""What follows a publication never fails the run, and a face that fails is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from orchestration import after_publication
from orchestration.after_publication import (
    FACE_CHECK,
    METABASE_KEY,
    METRICS_KEY,
    REPORT_KEY,
    after_publication_assets,
)
from orchestration.assets import PUBLISHED_KEY, WarehouseRun
from serving.semantic import MetricQuery, QueryResult, SemanticClient
from settings.errors import UnavailableError

if TYPE_CHECKING:
    from conftest import SampleRun


def materialise(run: SampleRun, home: Path | None = None) -> dg.ExecuteInProcessResult:
    """All faces over what the sample company has published."""
    return dg.materialize(
        [dg.AssetSpec(PUBLISHED_KEY), *after_publication_assets()],
        resources={"warehouse": WarehouseRun(home=str(home or run.home.root))},
        raise_on_error=False,
    )


def checks(result: dg.ExecuteInProcessResult) -> dict[dg.AssetKey, dg.AssetCheckEvaluation]:
    return {
        one.asset_key: one for one in result.get_asset_check_evaluations() if one.check_name == FACE_CHECK
    }


def made(result: dg.ExecuteInProcessResult) -> dict[dg.AssetKey, Any]:
    return {
        event.asset_key: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


@pytest.fixture
def readonly_sample(sample_run: SampleRun, tmp_path: Path) -> Path:
    """A home of one's own over the same published file, so that reports land there."""
    home = tmp_path / "faces"
    home.mkdir()
    (home / "published.duckdb").symlink_to(sample_run.published)
    (home / "published").symlink_to(sample_run.home.published_files)
    return home


def test_metrics_are_asked_and_the_report_is_written(sample_run: SampleRun, readonly_sample: Path) -> None:
    result = materialise(sample_run, readonly_sample)
    assert result.success
    found = made(result)
    assert found[METRICS_KEY]["metrics"].value > 50
    report = Path(str(found[REPORT_KEY]["path"].value))
    assert report.parent == readonly_sample / "reports"
    assert "Daily report" in report.read_text(encoding="utf-8")
    assert METABASE_KEY not in found
    skipped = checks(result)[METABASE_KEY]
    assert skipped.passed
    assert skipped.metadata["skipped"].value == "METABASE_URL names no server"


def test_a_report_that_fails_fails_no_run(
    sample_run: SampleRun, readonly_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((day,),) = sample_run.query("select max(order_date) from marts.fct_orders")
    (readonly_sample / "reports" / f"daily_{day}.html").mkdir(parents=True)
    monkeypatch.setattr(after_publication, "unanswered", lambda _client: {})
    result = materialise(sample_run, readonly_sample)
    assert result.success
    check = checks(result)[REPORT_KEY]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert "cannot be written" in (check.description or "")
    assert REPORT_KEY not in made(result)
    assert METRICS_KEY in made(result)


def test_a_metabase_that_is_away_fails_no_run(
    sample_run: SampleRun, readonly_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after_publication, "unanswered", lambda _client: {})
    monkeypatch.setenv("METABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("METABASE_API_KEY", "mb_not_to_be_shown")
    result = materialise(sample_run, readonly_sample)
    assert result.success
    check = checks(result)[METABASE_KEY]
    assert not check.passed
    assert "cannot be reached" in (check.description or "")
    assert REPORT_KEY in made(result)


def test_a_metric_that_gives_no_answer_is_named_and_its_faces_are_skipped(
    sample_run: SampleRun, readonly_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SemanticClient.query

    def broken(client: SemanticClient, query: MetricQuery, **words: Any) -> QueryResult:
        if query.metrics == ("net_revenue",):
            raise UnavailableError("its table is gone")
        return answer(client, query, **words)

    monkeypatch.setattr(SemanticClient, "query", broken)
    result = materialise(sample_run, readonly_sample)
    assert result.success
    check = checks(result)[METRICS_KEY]
    assert not check.passed
    assert "net_revenue: its table is gone" in (check.description or "")
    assert "1 of" in (check.description or "")
    assert made(result) == {}


def test_what_is_not_installed_is_skipped_with_its_extra(
    sample_run: SampleRun, readonly_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after_publication, "unanswered", lambda _client: {})
    monkeypatch.setitem(__import__("sys").modules, "serving.report.page", None)
    result = materialise(sample_run, readonly_sample)
    assert result.success
    check = checks(result)[REPORT_KEY]
    assert check.passed
    assert "tillhouse[report]" in str(check.metadata["skipped"].value)
