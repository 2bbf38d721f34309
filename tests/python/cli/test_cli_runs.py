"""`tillhouse demo`, `run` and `generate`: what they do, and what they tell while and after they do it."""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from bakery import Said, call
from conftest import SAMPLE_FEEDS, SampleRun

from cli.progress import ProgressHandler, progress
from ingestion import operations
from ingestion.report import BatchResult
from orchestration import run as runs
from settings.errors import BuildFailedError, ExitCode
from settings.home import PROJECT_ROOT, Home
from settings.writer_lock import writer_lock

PROGRESS_LINE = re.compile(r"^ *\d+\.\d s  .+$")
EMPTY_FEED = """
company: bakery
feeds:
  - name: bakery_orders
    location: file://landing/bakery
    glob: "*.csv"
    required: {required}
    entities:
      - entity: store.orders
"""


@pytest.fixture
def copied(sample_run: SampleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the finished sample run as the home that the command works on."""
    home = Home(tmp_path / "copied")
    shutil.copytree(sample_run.home.root, home.root)
    shutil.copyfile(SAMPLE_FEEDS, home.feeds / SAMPLE_FEEDS.name)
    monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
    return home


def stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def steps(said: Said) -> list[str]:
    """What the progress told, without the times."""
    return [line.split(" s  ", 1)[1] for line in said.err.splitlines() if PROGRESS_LINE.match(line)]


# Demo and run, for once with everything


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("demo") / "home")


@pytest.mark.minutes
def test_the_demo_ends_with_tested_marts_their_figures_and_where_to_look_next(
    demo: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_HOME", str(demo.root))
    said = call(capsys, "demo", "--orders", "300", "--seed", "3")
    assert said.code == ExitCode.OK

    told = steps(said)
    milestones = [
        "reading the project",
        "loading new files",
        "building and testing the models",
        "publishing the marts",
        "the marts are published",
        "asking every metric",
        "writing the report",
    ]
    assert [step for step in told if step in milestones] == milestones
    feeds = [step for step in told if step.startswith("  ")]
    loading = told[told.index(milestones[1]) + 1 : told.index(milestones[2])]
    assert feeds
    assert loading == feeds  # one line a feed, between the two stages

    runs = operations.last_runs(demo).records()
    assert len(runs) == 1
    row = operations.run_row(demo, runs[0]["run_id"])
    assert f"files: {row.files_loaded:,} of {row.files_seen:,} loaded" in said.out
    assert f"{row.rows_read:,} read: {row.rows_accepted:,} accepted" in said.out
    assert sum(int(re.findall(r"(\d[\d,]*) rows? accepted", line)[0].replace(",", "")) for line in feeds) == (
        row.rows_accepted
    )
    tests = int(re.findall(r"([\d,]+) tests passed", said.out)[0])
    assert tests > 100
    with duckdb.connect(str(demo.published), read_only=True) as connection:
        expected = connection.execute(
            "select source_system, max(revenue_date)::varchar, sum(orders)::bigint, sum(net_revenue)"
            " from marts.fct_revenue_daily group by all"
        ).fetchall()
    for system, last_day, orders, net_revenue in expected:
        # Nobody named an as-of date, so it is the day of each system's latest order.
        assert said.row(system).split() == [
            system, last_day, said.row(system).split()[2], last_day, f"{orders:,}", f"{net_revenue:,.2f}",
        ]  # fmt: skip
    assert str(demo.published) in said.out
    for hint in ("tillhouse status", "tillhouse quarantine list", "docs/marts.md"):
        assert hint in said.out


def test_status_after_the_demo_says_what_is_published_and_nothing_failed(
    copied: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "status")
    assert said.code == ExitCode.OK
    assert said.row("Published ", " UTC: ", str(copied.published))
    assert "failed" not in said.out
    assert "Rejected files" not in said.out
    assert call(capsys, "doctor").row("warehouse", "published")


def test_a_run_with_nothing_new_says_so_and_leaves_what_is_published(
    copied: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stamp(copied.published)
    said = call(capsys, "run")
    assert said.code == ExitCode.OK
    assert "nothing new: the published marts are current" in said.out
    assert "files: 0 of " in said.out
    assert "building" not in said.err
    assert stamp(copied.published) == before


def test_a_refused_file_of_a_required_feed_stops_the_run_and_status_says_why(
    copied: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stamp(copied.published)
    (copied.landing / "bakery").mkdir()
    (copied.landing / "bakery" / "orders.csv").write_text("id,customer_id\n1,2\n")
    (copied.feeds / "bakery.yml").write_text(EMPTY_FEED.format(required="true"))
    said = call(capsys, "run")
    assert said.code == ExitCode.DATA_REJECTED
    assert "Traceback" not in said.err
    assert "[required_feed]" in said.err
    assert "bakery_orders" in said.err
    assert "orders.csv" in said.err
    assert stamp(copied.published) == before
    told = call(capsys, "status").out
    assert "The newest run failed: a required feed is not complete" in told
    assert "Rejected files" in told


# Run, by what it is given and what comes back


def test_a_run_that_left_a_file_out_publishes_and_leaves_with_4(
    copied: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (last,) = operations.last_runs(copied).records()
    row = replace(operations.run_row(copied, last["run_id"]), files_rejected=1)
    monkeypatch.setattr(runs, "run_daily", lambda *_, **__: runs.RunOutcome(row.run_id, row))
    said = call(capsys, "run")
    assert said.code == ExitCode.DATA_REJECTED
    assert "1 rejected" in said.out
    assert "tillhouse status             names the rejected files" in said.out


def test_a_failed_build_leaves_with_5_and_names_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BuildFailedError(
            "1 of 230 models and tests failed:\n    no_gap: Got 2 results",
            remedy="mend it",
            rule="build_failed",
        )

    monkeypatch.setattr(runs, "run_daily", fail)
    said = call(capsys, "run")
    assert said.code == ExitCode.BUILD_FAILED
    assert "no_gap: Got 2 results" in said.err
    assert "published" not in said.out


def test_a_run_gets_the_words_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, object]] = []

    def note(_: Home, **words: object) -> None:
        given.append(words)
        raise BuildFailedError("enough")

    monkeypatch.setattr(runs, "run_daily", note)
    call(capsys, "run")
    monkeypatch.setenv("TILLHOUSE_FEEDS", "from_environment.yml")
    call(capsys, "run", "--as-of", "2015-12-31", "--full-refresh", "--target", "redshift")
    call(capsys, "run", "--feeds", "named.yml")
    assert [str(words["feeds"]) for words in given] == ["None", "from_environment.yml", "named.yml"]
    assert [str(words["as_of"]) for words in given] == ["None", "2015-12-31", "None"]
    assert [words["full_refresh"] for words in given] == [False, True, False]
    assert [words["target"] for words in given] == ["duckdb", "redshift", "duckdb"]


def test_a_target_without_a_loader_and_a_busy_home_are_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call(capsys, "run", "--target", "redshift")
    assert said.code == ExitCode.CONFIGURATION
    assert "[no_loader]" in said.err
    monkeypatch.setenv("TILLHOUSE_POSTGRES_HOST", "127.0.0.1")
    monkeypatch.setenv("TILLHOUSE_POSTGRES_PORT", "1")
    said = call(capsys, "run", "--target", "postgres")
    assert said.code == ExitCode.UNAVAILABLE
    assert "127.0.0.1:1 cannot be used" in said.err
    home = Home.from_environment()
    with writer_lock(home):
        said = call(capsys, "run")
    assert said.code == ExitCode.BUSY
    assert not home.warehouse.exists()


def test_a_run_without_a_profile_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    said = call(capsys, "run")
    assert said.code == ExitCode.CONFIGURATION
    assert "make setup" in said.err


def test_a_home_that_cannot_be_made_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("TILLHOUSE_HOME", str(tmp_path / "a_file" / "home"))
    for words in (("demo",), ("generate",), ("run",), ("reload", "--all")):
        said = call(capsys, *words)
        assert said.code == ExitCode.CONFIGURATION
        assert "TILLHOUSE_HOME" in said.err


# Progress


def test_progress_counts_the_files_of_a_feed_into_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    intake, pipeline = logging.getLogger("ingestion.intake"), logging.getLogger("orchestration.pipeline")
    settings = [(logger.level, logger.propagate, list(logger.handlers)) for logger in (intake, pipeline)]
    with progress() as tell:
        tell("begin")
        for feed, status, rows in (
            ("bread", "loaded", 1_000), ("bread", "rejected", 0), ("bread", "loaded", 500), ("rolls", "loaded", 1),
        ):  # fmt: skip
            batch = BatchResult("b", feed, "f.csv", status, rows_accepted=rows, rows_quarantined=2)  # type: ignore[arg-type]
            intake.info("one file", extra={"batch": batch})
        pipeline.info("building")
        intake.warning("feed %s: \x1b[2J", "bread")
        intake.info("a last file", extra={"batch": BatchResult("b", "buns", "f.csv", "loaded")})
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(" s  ", 1)[1] for line in printed.err.splitlines()] == [
        "begin",
        "  bread: 2 files, 1,500 rows accepted, 4 in quarantine",
        "  rolls: 1 file, 1 row accepted, 2 in quarantine",
        "building",
        "warning: feed bread: \\x1b[2J",
        "  buns: 1 file, 0 rows accepted, 0 in quarantine",
    ]
    # Outside the block nothing is left of it.
    assert [(found.level, found.propagate, list(found.handlers)) for found in (intake, pipeline)] == settings
    assert not any(isinstance(handler, ProgressHandler) for handler in intake.handlers)


# Generate


def delivered(home: Home) -> dict[str, bytes]:
    """Everything in the landing folder."""
    files = [path for path in home.landing.rglob("*") if path.is_file()]
    return {str(path.relative_to(home.landing)): path.read_bytes() for path in files}


def test_the_history_and_then_the_days_are_the_files_of_all_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, slices = Home(tmp_path / "whole"), Home(tmp_path / "slices")
    monkeypatch.setenv("TILLHOUSE_HOME", str(whole.root))
    said = call(capsys, "generate", "--orders", "200", "--seed", "5")
    assert said.code == ExitCode.OK
    assert str(whole.landing) in said.out
    assert "tillhouse run" in said.out
    assert (whole.feeds / "sample.yml").read_text() == (
        PROJECT_ROOT / "examples/feeds/sample.yml"
    ).read_text()

    monkeypatch.setenv("TILLHOUSE_HOME", str(slices.root))
    shared = ("generate", "--orders", "200", "--seed", "5")
    assert call(capsys, *shared, "--last-delivery", "12").code == ExitCode.OK
    assert delivered(slices).keys() < delivered(whole).keys()
    assert call(capsys, *shared, "--first-delivery", "13", "--last-delivery", "13").code == ExitCode.OK
    assert call(capsys, *shared, "--first-delivery", "14").code == ExitCode.OK
    assert delivered(slices) == delivered(whole)
    # The truth of a slice counts that slice alone, so it must not pass for the truth of the whole.
    assert (whole.root / "sample_truth.json").exists()
    assert not (slices.root / "sample_truth.json").exists()


def test_another_seed_gives_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for seed in ("1", "2"):
        home = Home(tmp_path / seed)
        monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
        call(capsys, "generate", "--orders", "100", "--seed", seed, "--last-delivery", "0")
        found.append(delivered(home))
    assert found[0] != found[1]


def test_a_delivery_that_the_plan_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "generate", "--orders", "100", "--first-delivery", "15")
    assert said.code in {ExitCode.USAGE, ExitCode.CONFIGURATION}
    assert "Traceback" not in said.err
    assert "fault of tillhouse" not in said.err
    assert "14" in said.err
