"""What a run may publish."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.dbt_runner import BuildReport, DbtRunner, NodeResult
from orchestration.pipeline import Pipeline, RunRequest
from settings.errors import BuildFailedError
from settings.home import Home

FAILED = NodeResult("test.bridge", "bridge", "test", "fail", "error", 1, 0.1, "Got 1 result")


@pytest.mark.parametrize(
    ("select", "report"),
    [((), BuildReport((FAILED,))), (("fct_orders",), BuildReport())],
    ids=["a failed build", "a part of the models"],
)
def test_only_a_whole_build_that_passed_is_published(
    select: tuple[str, ...], report: BuildReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DbtRunner, "build", lambda _, __: report)
    pipeline = Pipeline(RunRequest(home=Home(tmp_path), run_id="run"))
    with pytest.raises(BuildFailedError, match="not built and tested all"):
        pipeline.publish_tested()
    pipeline.build(select)
    with pytest.raises(BuildFailedError, match="not built and tested all"):
        pipeline.publish_tested()
    assert not pipeline.request.home.published.exists()
