"""The measurements measure what they say, each in a process of its own. No test here judges a time."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import bench.__main__ as bench_command
import bench.history as history_module
from bench.figures import against_hand, growth, median_by_name, median_of, ratio, total
from bench.history import History, take_days_apart_in_turn
from bench.measure import BY_HAND_MEMORY_LIMIT, MEMORY_LIMIT, Measurement, describe_machine, measure_step
from bench.plans import BenchPlan, orders_of_a_day, plan_for
from bench.report import LABELS, NOT_LISTED, write_report

PLAN = BenchPlan(orders=400, day_orders=10, days=40, measured_days=1, apart_days=1)


def measurement(step: str, seconds: float = 2.0, rows: int = 1_000, **facts: Any) -> Measurement:
    return Measurement(step, seconds, cpu_seconds=seconds * 2, peak_mib=512.4, rows=rows, facts=facts)


def day(seconds: float = 30.0, **nodes: float) -> Measurement:
    stages = {"start": 4.0, "load": 6.0, "build and test": seconds - 12, "publish": 2.0}
    return measurement("day", seconds + 1, until_published=seconds, stages=stages, nodes=nodes)


def history(
    days: list[Measurement], *, by_hand: dict[str, float] | None = None, apart: dict[str, float] | None = None
) -> dict[str, Any]:
    build = measurement(
        "build_models",
        40.0,
        marts_seconds=30.0,
        quality_seconds=5.0,
        nodes={"fct_orders": 10.0, "fct_returns": 2.0, "stg_store__orders": 8.0, "quality_runs": 1.0},
    )
    steps = [measurement("generate"), measurement("ingest"), build]
    if by_hand:
        steps.append(measurement("handwritten", 25.0, sql_seconds=20.0, marts=by_hand))
    steps.append(measurement("publish"))
    return {
        "plan": asdict(PLAN),
        "steps": [step.as_dict() for step in steps],
        "build_nodes": build.facts["nodes"],
        "by_hand": by_hand or {},
        "first_day": day(90.0).as_dict(),
        "days": [found.as_dict() for found in days],
        "day_nodes": median_by_name([found.facts["nodes"] for found in days]),
        "day_stages": median_by_name([found.facts["stages"] for found in days]),
        **({"apart_nodes": apart} if apart else {}),
    }


def result(orders: int, *, with_runs: bool = False) -> dict[str, Any]:
    runs = [measurement("run_without_dagster", 10.0), measurement("run_with_dagster", 12.5)]
    nodes = {"fct_orders": 0.9, "mart_x": 7.0, "tests": 9.0}  # two at a time
    apart = {"fct_orders": 0.5, "fct_returns": 0.1, "stg_store__orders": 0.4, "mart_x": 3.0}
    half_apart = {"fct_orders": 0.5, "fct_returns": 0.1, "stg_store__orders": 0.2, "mart_x": 1.5}
    fixed = [
        measurement(
            "build_models", 7.5, marts_seconds=4.0, quality_seconds=1.0, nodes={"a": 0.04, "b": 0.06}
        ),
        day(14.0),
    ]
    return {
        "machine": {"cores": 2},
        "orders": orders,
        "day_orders": 10,
        "target": "duckdb",
        "whole": history(
            [day(28.0, **nodes), day(44.0, **nodes), day(30.0, **nodes)],
            by_hand={"shared": 4.0, "fct_orders": 4.0, "fct_returns": 3.0, "checkpoint": 1.0},
            apart=apart,
        ),
        "half": history([day(20.0, **nodes)], apart=half_apart),
        "fixed": [step.as_dict() for step in fixed],
        "runs": [step.as_dict() for step in runs] if with_runs else [],
    }


def result_on_postgres(orders: int) -> dict[str, Any]:
    whole = history([day(28.0, fct_orders=0.5), day(44.0, fct_orders=0.7)])
    load = measurement(
        "postgres_load", loader_rows_per_second=90, plain_rows_per_second=100, share_of_plain=0.9
    )
    hand = measurement(
        "handwritten_postgres", 25.0, sql_seconds=20.0, marts={"shared": 4.0, "fct_orders": 4.0}
    )
    whole["steps"] += [load.as_dict(), hand.as_dict()]
    return {
        "machine": {"cores": 2},
        "orders": orders,
        "day_orders": 10,
        "target": "postgres",
        "whole": {**whole, "by_hand": hand.facts["marts"]},
    }


def test_the_report_on_postgres_has_its_load_build_and_day() -> None:
    page = write_report([result(1_000), result_on_postgres(1_000)])
    section = page[page.index("## 1,000 orders on Postgres") :]
    assert "plain ADBC ingestion of the same rows, rows per second | 0.90 (90 ÷ 100)" in section
    assert "full build of the public marts ÷ by hand | 1.50 (30.0 s ÷ 20.0 s)" in section
    assert "a day from process start to published | 36.0 s" in section
    assert "event and daily facts, day ÷ full build | 1/20.0 (0.60 s ÷ 12.00 s)" in section
    assert "Postgres" not in page[: page.index("## 1,000 orders on Postgres")].split("## 1,000 orders")[1]


@pytest.mark.minutes
def test_a_step_runs_in_a_process_of_its_own_over_its_home_and_tells_its_rows(tmp_path: Path) -> None:
    home = tmp_path / "home"
    found = measure_step("generate", home, plan=asdict(PLAN), first=0, last=0)
    assert found.step == "generate"
    assert found.rows > 400  # order lines
    assert found.facts["files"] == len(
        [path for path in home.joinpath("landing").rglob("*") if path.is_file()]
    )
    # A process of Python with arrow in it has used something.
    assert found.seconds > 0
    assert found.cpu_seconds > 0
    assert found.peak_mib > 30


@pytest.mark.minutes
def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)step juggle failed:.*KeyError: 'juggle'"):
        measure_step("juggle", tmp_path / "home")


def test_rows_per_second_survive_a_step_that_took_no_time() -> None:
    assert measurement("publish", 4.0).as_dict()["rows_per_second"] == 250
    assert measurement("publish", 0.0).as_dict()["rows_per_second"] == 0


def test_the_machine_is_described_with_the_versions_that_decide() -> None:
    found = describe_machine()
    assert {"date", "cores", "memory_gib", "python", "duckdb", "dbt-core", "dagster"} <= set(found)
    assert found["memory_limit"] == MEMORY_LIMIT
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("orders", "day_orders"), [(20_000, 50), (1_000_000, 1_000), (10_000_000, 10_000)])
def test_the_days_of_a_plan_have_the_orders_asked_for(orders: int, day_orders: int) -> None:
    plan = plan_for(orders, day_orders)
    assert orders_of_a_day(plan.sample) == pytest.approx(day_orders, rel=0.05)
    assert (
        plan.sample.deliveries == plan.last_day + plan.apart_days == 1 + plan.measured_days + plan.apart_days
    )
    assert plan.sample.orders == orders


def test_a_plan_keeps_a_month_of_history_where_its_days_would_be_fewer() -> None:
    assert plan_for(100, 1_000).sample.history_days == 30


@pytest.mark.parametrize(
    ("seconds", "median"), [([7.0], 7.0), ([9.0, 1.0, 2.0], 2.0), ([1.0, 2.0, 4.0, 100.0], 3.0)]
)
def test_repeated_steps_are_told_by_their_medians_and_the_highest_peak(
    seconds: list[float], median: float
) -> None:
    found = median_of([Measurement("day", taken, taken * 2, taken, 1_000) for taken in seconds])
    assert (found.step, found.seconds, found.cpu_seconds) == ("day", median, median * 2)
    assert found.peak_mib == max(seconds)


def test_nodes_are_told_by_their_medians_over_the_runs_that_had_them() -> None:
    runs = [{"a": 1.0, "b": 5.0}, {"a": 3.0}, {"a": 2.0, "b": 7.0}]
    assert median_by_name(runs) == {"a": 2.0, "b": 6.0}


def test_sums_and_ratios_survive_what_is_not_there() -> None:
    assert total({"a": 1.0, "b": 2.0}) == 3.0
    assert total({"a": 1.0, "b": 2.0}, ["b", "c"]) == 2.0
    assert ratio(1.0, 4.0) == 0.25
    assert ratio(1.0, 0.0) is None


def test_growth_lists_the_dearest_first_and_adds_up_what_is_too_small_to_list() -> None:
    rows = growth({"large": 2.0, "small": 0.1}, {"small": 0.05, "large": 6.0, "smaller": 0.05, "middle": 3.9})
    assert [(row.name, row.half_seconds, row.factor) for row in rows] == [
        ("large", 2.0, 3.0),
        ("middle", 0.0, None),
        ("2 others", 0.1, 1.0),
    ]
    assert [row.share for row in rows] == pytest.approx([0.6, 0.39, 0.01])
    assert growth({}, {}) == []


def test_models_are_set_against_the_statements_that_do_their_work() -> None:
    nodes = {"fct_a": 3.0, "fct_b": 9.0, "stg_a": 2.0, "int_b": 4.0, "quality_runs": 50.0}
    by_hand = {"shared": 1.0, "fct_a": 4.0, "fct_b": 5.0, "checkpoint": 0.5}
    assert against_hand(nodes, by_hand) == [("shared", 6.0, 1.5), ("fct_b", 9.0, 5.0), ("fct_a", 3.0, 4.0)]


def test_the_report_has_a_line_a_step_and_its_ratios() -> None:
    text = write_report([result(1_000), result(20_000, with_runs=True)])
    assert text.count("# Measurements") == 1
    first, second = text.split("\n## ")[1:]
    assert first.startswith("1,000 orders\n\ncores 2\n")
    assert "| one day, median | 31.0 | 62.0 | 1,000 | 32 | 512 |" in first
    assert "| full build of the public marts ÷ by hand | 1.50 (30.0 s ÷ 20.0 s) |" in first
    assert "quality models included | 1.60 |" in first
    assert "| a day from process start to published | 30.0 s (start 4.0 s, load 6.0 s" in first
    assert "| the first day after the full build | 90.0 s |" in first
    assert "| event and daily facts, day ÷ full build | 1/20.0 (0.60 s ÷ 12.00 s) |" in first
    assert (
        "| the same with the incremental models below them, day ÷ full build | 1/20.0 (1.00 s ÷ 20.00 s) |"
        in first
    )
    assert "| facts' day, whole ÷ half of the history | 1.00 |" in first
    assert "| the same with the incremental models below them | 1.25 |" in first
    assert "| the whole day, whole ÷ half of the history | 1.50 |" in first
    assert "| 7.5 s, of which 0.1 s in 2 models |" in first
    assert "What a day's models take one at a time" in first
    assert "| mart_x | 1.50 | 3.00 | 2.00 | 75% |" in first
    assert "| fct_orders | 10.00 | 4.00 | 2.50 |" in first
    assert "under Dagster" not in first
    assert "| whole run under Dagster ÷ plain | 1.25 |" in second


def test_every_measured_step_has_a_label() -> None:
    shown = {
        step["step"]
        for found in [result(1, with_runs=True), result_on_postgres(1)]
        for step in found["whole"]["steps"]
    }
    assert shown - NOT_LISTED | {"day", "run_without_dagster", "run_with_dagster"} == set(LABELS)


class Steps:
    """Stands in for `measure_step`: keeps the names in order, and what each left in the home."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.measured: list[str] = []
        monkeypatch.setattr(history_module, "measure_step", self.measure)

    def measure(self, step: str, home: Path, **words: Any) -> Measurement:
        home.mkdir(parents=True, exist_ok=True)
        warehouse = home / "warehouse.duckdb"
        if step == "generate":
            assert words["first"] == words["last"]
        told = f"{step} {words['first']}" if step == "generate" else step
        self.measured.append(f"{home.parent.name} {told}")
        if step == "ingest":
            warehouse.write_text("raw")
        if step == "build_models":
            assert warehouse.read_text() == "raw"
            warehouse.write_text("built")
            return measurement(step, nodes={"fct_orders": 1.0}, marts_seconds=1.0, quality_seconds=1.0)
        if step in {"handwritten", "compare"}:
            assert warehouse.read_text() == "built"
            assert words["memory_limit"] == BY_HAND_MEMORY_LIMIT
        if step == "handwritten":
            Path(words["output"]).touch()
            return measurement(step, marts={"fct_orders": 1.0}, sql_seconds=1.0)
        if step == "day_models":
            return measurement(step, nodes={"fct_orders": 0.05})
        if step == "day":
            first = self.measured.count(self.measured[-1]) == 1
            assert words["all_checks"] is first
            return day(90.0 if first else 20.0, fct_orders=0.1)
        return measurement(step)


def unsaid(taken: Measurement) -> Measurement:
    return taken


def test_a_history_is_built_both_ways_on_the_same_raw_tables_and_its_days_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    whole = History(tmp_path / "whole", PLAN, tell=unsaid)
    whole.build(repeats=2, by_hand=True)
    whole.run_days()
    whole.take_day_apart()
    assert [name.removeprefix("whole ") for name in steps.measured] == [
        "generate 0", "ingest",
        "build_models", "handwritten", "compare", "build_models", "handwritten",
        "publish", "generate 1", "day", "generate 2", "day", "generate 3", "day_models",
    ]  # fmt: skip
    found = whole.result()
    assert [step["step"] for step in found["steps"]] == [
        "generate", "ingest", "build_models", "handwritten", "publish",
    ]  # fmt: skip
    assert found["by_hand"] == {"fct_orders": 1.0}
    assert found["first_day"]["facts"]["until_published"] == 90.0  # told apart
    assert [found_day["facts"]["until_published"] for found_day in found["days"]] == [20.0]
    assert found["day_nodes"] == {"fct_orders": 0.1}
    assert found["apart_nodes"] == {"fct_orders": 0.05}
    whole.remove()
    assert list(tmp_path.iterdir()) == []


def test_days_apart_are_taken_in_turn_and_no_history_is_always_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    plan = replace(PLAN, apart_days=3)
    take_days_apart_in_turn([History(tmp_path / name, plan, tell=unsaid) for name in ("half", "whole")])
    assert steps.measured == [
        "half generate 3", "half day_models", "whole generate 3", "whole day_models",
        "whole generate 4", "whole day_models", "half generate 4", "half day_models",
        "half generate 5", "half day_models", "whole generate 5", "whole day_models",
    ]  # fmt: skip


def test_both_histories_stand_until_their_days_are_taken_in_turn_and_only_the_whole_is_built_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    monkeypatch.setattr(bench_command, "plan_for", lambda orders, _: replace(PLAN, orders=orders))
    monkeypatch.setattr(bench_command, "measure_fixed", lambda _: [])
    found = bench_command.measure_all(tmp_path, orders=400, day_orders=10, repeats=1, pairs=0)
    assert [found[part]["plan"]["orders"] for part in ("whole", "half")] == [400, 200]
    assert "by_hand" not in found["half"]
    assert [name for name in steps.measured if name.endswith("day_models")] == [
        "half day_models", "whole day_models",
    ]  # fmt: skip
    assert steps.measured.index("whole day_models") > steps.measured.index("half publish")
    assert list(tmp_path.iterdir()) == []


def test_the_two_whole_runs_are_paired_on_fresh_homes_that_share_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(step: str, home: Path, **words: Any) -> Measurement:
        measured.append(step)
        if step == "generate":
            (home / "landing").mkdir(parents=True)
            (home / "landing" / "orders.csv").touch()
        assert (home / "landing" / "orders.csv").exists()
        if step.startswith("run_"):
            assert {path.name for path in home.iterdir()} == {"landing"}
            (home / "warehouse.duckdb").touch()
        return measurement(step)

    monkeypatch.setattr(bench_command, "measure_step", measure)
    found = bench_command.measure_runs(tmp_path, orders=1_000, day_orders=10, pairs=2)
    pair = ["run_without_dagster", "run_with_dagster"]
    assert measured == ["generate", *pair, *pair]
    assert [step.step for step in found] == pair
    assert bench_command.measure_runs(tmp_path, orders=1_000, day_orders=10, pairs=0) == []


def test_the_command_writes_json_and_the_page_over_all_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scratches: list[Path] = []

    def measure_all(scratch: Path, *, orders: int, **words: int) -> dict[str, Any]:
        scratches.append(scratch)
        assert scratch.is_dir()
        assert words["day_orders"] == {20_000: 50, 300_000: 300}[orders]
        return {name: value for name, value in result(orders).items() if name not in {"machine", "orders"}}

    monkeypatch.setattr(bench_command, "FOLDER", tmp_path)
    monkeypatch.setattr(bench_command, "measure_all", measure_all)
    bench_command.main(["--orders", "300000", "--folder", str(tmp_path)])
    assert not (tmp_path / "README.md").exists()
    bench_command.main(["--orders", "20000", "--readme"])
    written = json.loads((tmp_path / "results" / "duckdb_20000.json").read_text())
    assert written["orders"] == 20_000
    page = (tmp_path / "README.md").read_text()
    assert page.index("## 20,000 orders") < page.index("## 300,000 orders")  # by size, not by name
    assert "## 300,000 orders" in capsys.readouterr().out
    assert not any(scratch.exists() for scratch in scratches)


def test_the_command_leaves_no_data_behind_when_a_step_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scratch: Path, **words: int) -> dict[str, Any]:
        (scratch / "large").touch()
        raise RuntimeError("step ingest failed")

    monkeypatch.setattr(bench_command, "measure_all", fail)
    with pytest.raises(RuntimeError, match="ingest"):
        bench_command.main(["--folder", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
    shutil.rmtree(tmp_path)
