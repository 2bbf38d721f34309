"""The measurements measure what they say, each in a process of its own. No test here judges a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bench.__main__ as bench_command
from bench import steps as bench_steps
from bench.measure import Measurement, describe_machine, measure_step
from bench.report import LABELS, write_report


def measurement(step: str, seconds: float = 2.0, rows: int = 1_000, **changes: float) -> Measurement:
    return Measurement(step, seconds, changes.get("cpu_seconds", 3.0), changes.get("peak_mib", 512.4), rows)


def result(orders: int, **seconds: float) -> dict[str, Any]:
    listed = [measurement(step, seconds.get(step, 2.0)) for step in bench_steps.STEPS]
    return {"machine": {"cores": 2}, "orders": orders, "steps": [found.as_dict() for found in listed]}


def test_a_step_runs_in_a_process_of_its_own_over_its_home_and_tells_its_rows(tmp_path: Path) -> None:
    home = tmp_path / "home"
    found = measure_step("generate", home, orders=100)
    assert found.step == "generate"
    assert found.rows > 100  # order lines
    assert list(home.joinpath("landing").rglob("*.csv"))
    # A process of Python with arrow in it has used something.
    assert found.seconds > 0
    assert found.cpu_seconds > 0
    assert found.peak_mib > 30


def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)step juggle failed:.*KeyError: 'juggle'"):
        measure_step("juggle", tmp_path / "home", orders=100)


def test_rows_per_second_survive_a_step_that_took_no_time() -> None:
    assert measurement("publish", 4.0).as_dict()["rows_per_second"] == 250
    assert measurement("publish", 0.0).as_dict()["rows_per_second"] == 0


def test_the_machine_is_described_with_the_versions_that_decide() -> None:
    found = describe_machine()
    assert {"date", "cores", "memory_gib", "python", "duckdb", "dbt-core", "dagster"} <= set(found)
    assert json.loads(json.dumps(found)) == found


def test_every_measured_step_has_a_label() -> None:
    assert set(LABELS) == set(bench_steps.STEPS)
    assert set(bench_command.STEPS) < set(LABELS)


def test_the_report_has_a_line_a_step_and_the_two_ratios() -> None:
    text = write_report(
        [result(1_000), result(20_000, run_with_dagster=3.0, build_with_tests=5.0, build_models=4.0)]
    )
    assert text.count("# Measurements") == 1
    first, second = text.split("\n## ")[1:]
    assert first.startswith("1,000 orders\n\ncores 2\n")
    table = [line for line in second.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(LABELS)
    assert "| whole run, Dagster | 3.0 | 3.0 | 1,000 | 333 | 512 |" in table
    assert "1.00 times the plain one" in first
    assert "1.50 times the plain one" in second
    assert "1.25 times the build without" in second


@pytest.mark.parametrize(
    ("seconds", "median"), [([7.0], 7.0), ([9.0, 1.0, 2.0], 2.0), ([1.0, 2.0, 4.0, 100.0], 3.0)]
)
def test_the_whole_runs_are_told_by_their_medians_and_the_highest_peak(
    seconds: list[float], median: float
) -> None:
    found = bench_command._median(
        [measurement("run_with_dagster", taken, cpu_seconds=taken * 2, peak_mib=taken) for taken in seconds]
    )
    assert (found.step, found.seconds, found.cpu_seconds) == ("run_with_dagster", median, median * 2)
    assert found.peak_mib == max(seconds)
    assert found.rows == 1_000


def test_the_two_whole_runs_are_paired_on_fresh_homes_that_share_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[str, str]] = []

    def measure(step: str, home: Path, *, orders: int) -> Measurement:
        measured.append((step, home.name))
        if step == "generate":
            (home / "landing").mkdir(parents=True)
            (home / "landing" / "orders.csv").touch()
        assert (home / "landing" / "orders.csv").exists()
        if step.startswith("run_"):
            assert {path.name for path in home.iterdir()} == {"landing"}
            (home / "warehouse.duckdb").touch()
        return measurement(step)

    monkeypatch.setattr(bench_command, "measure_step", measure)
    found = bench_command.measure_all(tmp_path, orders=100, pairs=2)
    pair = ["run_without_dagster", "run_with_dagster"]
    assert [step for step, _ in measured] == [*bench_command.STEPS, *pair, *pair]
    assert {home for step, home in measured if not step.startswith("run_")} == {"home"}
    assert [step.step for step in found] == [*bench_command.STEPS, *pair]
    assert (tmp_path / "home" / "landing" / "orders.csv").exists()


def test_the_command_writes_json_and_the_page_over_all_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scratches: list[Path] = []

    def measure_all(scratch: Path, *, orders: int, pairs: int) -> list[Measurement]:
        scratches.append(scratch)
        assert scratch.is_dir()
        return [measurement(step) for step in LABELS]

    monkeypatch.setattr(bench_command, "FOLDER", tmp_path)
    monkeypatch.setattr(bench_command, "measure_all", measure_all)
    bench_command.main(["--orders", "20000", "--folder", str(tmp_path)])
    assert not (tmp_path / "README.md").exists()
    bench_command.main(["--orders", "3000", "--readme"])
    written = json.loads((tmp_path / "results" / "3000.json").read_text())
    assert written["orders"] == 3_000
    assert [step["step"] for step in written["steps"]] == list(LABELS)
    page = (tmp_path / "README.md").read_text()
    assert page.index("## 3,000 orders") < page.index("## 20,000 orders")  # by size, not by name
    assert "## 20,000 orders" in capsys.readouterr().out
    assert not any(scratch.exists() for scratch in scratches)


def test_the_command_leaves_no_data_behind_when_a_step_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scratch: Path, *, orders: int, pairs: int) -> list[Measurement]:
        (scratch / "large").touch()
        raise RuntimeError("step ingest failed")

    monkeypatch.setattr(bench_command, "measure_all", fail)
    with pytest.raises(RuntimeError, match="ingest"):
        bench_command.main(["--folder", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
