"""Status, quarantine, accept, withdraw and reload, over a few files made by hand."""

from __future__ import annotations

import csv
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bakery import FEED, FEED_FILE, Bakery, call, orders

from ingestion import operations
from settings.errors import ExitCode
from settings.home import Home
from settings.writer_lock import writer_lock

GOOD, MIXED, BAD, EMPTY, AGAIN = "good.csv", "mixed.csv", "bad.csv", "empty.csv", "repeated.csv"
NASTY = "=1+[red]2[/red]\\[b] :bread:"
COMMANDS_THAT_READ = [
    ("status",),
    ("status", "--feed", FEED),
    ("quarantine", "list"),
    ("quarantine", "show"),
    ("quarantine", "show", "--batch", "x", "--row", "1"),
    ("quarantine", "export", "out.csv"),
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which one file is good, one has a bad row, one too many of them, one is empty, one a repetition."""
    bakery = Bakery.at(tmp_path_factory.mktemp("loaded"))
    bakery.deliver(GOOD, orders("1.50", "2.50", "3.00"))
    bakery.deliver(MIXED, orders("4.00", NASTY, "5.00", "-3", first=10))
    bakery.deliver(BAD, orders("6.00", "ten", "eleven", "\x1b[31mtwelve", first=20))
    bakery.deliver(EMPTY, "")
    bakery.deliver(AGAIN, orders("1.50", "2.50", "3.00"))
    bakery.ingest()
    return bakery.home


@pytest.fixture
def bakery(loaded: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bakery:
    """A copy of it, as the home that the command works on."""
    home = Home(tmp_path / "bakery")
    shutil.copytree(loaded.root, home.root)
    monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return Bakery(home)


# Status


def test_status_shows_runs_files_freshness_and_each_rejected_file_with_its_remedy(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "status")
    assert said.code == ExitCode.OK
    assert said.err == ""
    assert "Nothing is published" in said.out
    assert "succeeded" in said.out
    assert said.row("feed", "loaded", "rejected").split() == [
        "feed", "loaded", "rejected", "repeated", "rows", "read",
    ]  # fmt: skip
    assert said.row(FEED, "2         2").split() == [FEED, "2", "2", "1", "7"]
    assert said.row(FEED, "store.orders", "2026-02-01 10:03:00", " 6")
    assert said.row(BAD, "[quarantine_threshold]", bakery.batch(BAD))
    assert f"`tillhouse accept {bakery.batch(BAD)}`" in said.out
    assert said.row(EMPTY, "[empty]")


def test_status_of_a_feed_lists_its_deliveries_with_the_ids_that_repairs_need(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "status", "--feed", FEED)
    assert said.code == ExitCode.OK
    for name, status in ((GOOD, "loaded"), (MIXED, "loaded"), (BAD, "rejected"), (EMPTY, "rejected")):
        assert said.row(bakery.batch(name), name, status)
    assert said.row(AGAIN, "duplicate")
    assert len(call(capsys, "status", "--feed", FEED, "--limit", "2").out.strip().splitlines()) == 2 + 2


def test_status_tells_why_the_newest_run_failed_and_what_failed_in_it(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    operations.start_run(bakery.home, "run-2", target="duckdb")
    operations.record_dbt_results(
        bakery.home,
        "run-2",
        [
            ("model.t.fct_orders", "model", "fct_orders", "success", "", None, 1.0, "ok"),
            ("test.t.no_gap", "test", "no_gap", "fail", "error", 1_234, 0.1, "Got 1234 [results]"),
        ],
    )
    operations.finish_run(
        bakery.home, "run-2", status="failed", message="1 of 2 failed:\n    no_gap: \x1b[2J[b]"
    )
    said = call(capsys, "status")
    assert said.code == ExitCode.OK
    assert "The newest run failed: 1 of 2 failed:\n    no_gap: \\x1b[2J[b]\n" in said.out
    assert said.row("no_gap", "fail", "1,234", "Got 1234 [results]")
    assert "fct_orders" not in said.out

    # Once a later run has succeeded, the failure is history.
    bakery.ingest("run-3")
    assert "The newest run failed" not in call(capsys, "status").out


def test_status_of_an_unknown_feed_says_so(bakery: Bakery, capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "status", "--feed", "butchery_orders")
    assert said.code == ExitCode.NOT_FOUND
    assert "'butchery_orders'" in said.err
    assert "tillhouse status" in said.err


def test_only_the_first_rejected_files_are_listed_and_the_rest_is_counted(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "  and 1 more" in call(capsys, "status", "--limit", "1").out
    assert " more: " not in call(capsys, "status", "--limit", "2").out


# Quarantine


def test_quarantine_list_counts_rows_and_files_by_rule(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "quarantine", "list")
    assert said.code == ExitCode.OK
    assert said.row("not_a_number").split()[-3:] == ["1", "0", "1"]
    assert said.row("empty").split()[-3:] == ["0", "1", "1"]
    assert "tillhouse quarantine show" in said.out
    today = datetime.now(UTC).date().isoformat()
    assert call(capsys, "quarantine", "list", FEED, "--day", today).out == said.out
    assert call(capsys, "quarantine", "list", "--day", "2020-01-01").out == "no such rows in quarantine\n"
    assert call(capsys, "quarantine", "list", "butchery").out == "no such rows in quarantine\n"


def test_an_empty_quarantine_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = Bakery.at(tmp_path / "clean")
    bakery.deliver(GOOD, orders("1.00"))
    bakery.ingest()
    monkeypatch.setenv("TILLHOUSE_HOME", str(bakery.home.root))
    assert call(capsys, "quarantine", "list").out == "the quarantine is empty\n"


def test_quarantine_show_prints_the_cell_as_it_was_brackets_and_all(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "quarantine", "show", FEED, "--rule", "not_a_number")
    assert said.code == ExitCode.OK
    row = said.row(NASTY)
    assert row.split()[:5] == [bakery.batch(MIXED), MIXED, "2", "not_a_number", "total_amount"]


def test_quarantine_show_says_that_there_is_more_than_the_limit(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "more than these 1" in call(capsys, "quarantine", "show", "--limit", "1").out
    assert "more than these" not in call(capsys, "quarantine", "show").out


def test_a_row_of_the_quarantine_shows_everything_that_is_known_of_it(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "quarantine", "show", "--batch", bakery.batch(MIXED), "--row", "2")
    assert said.code == ExitCode.OK
    shown = dict(line.strip().split("  ", 1) for line in said.out.splitlines() if "  " in line.strip())
    assert shown["raw_value"] == NASTY
    assert shown["row_number"] == "2"
    assert shown["source_file"] == MIXED
    assert '"id":"B011"' in shown["raw_row"]

    said = call(capsys, "quarantine", "show", "--batch", bakery.batch(MIXED), "--row", "1")
    assert said.code == ExitCode.NOT_FOUND
    assert "row 1 is not in the quarantine" in said.err


def test_the_export_is_private_and_a_spreadsheet_runs_nothing_of_it(
    bakery: Bakery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("open to all")
    path.chmod(0o644)
    said = call(capsys, "quarantine", "export", str(path), "--feed", FEED, "--batch", bakery.batch(MIXED))
    assert (said.code, said.out) == (ExitCode.OK, f"1 row written to {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert row["raw_value"] == "'" + NASTY
    assert row["rule"] == "not_a_number"
    assert not [name for name, text in row.items() if text.startswith(("=", "+", "@"))]


@pytest.mark.parametrize("name", ["missing/bad.csv", "."])
def test_an_export_that_cannot_be_written_is_told(
    name: str, bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "quarantine", "export", name)
    assert said.code == ExitCode.USAGE
    assert "cannot be written" in said.err


def test_an_export_without_a_warehouse_leaves_the_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("from yesterday")
    assert call(capsys, "quarantine", "export", str(path)).code == ExitCode.NOT_FOUND
    assert path.read_text() == "from yesterday"


# Accept, withdraw, reload


def test_a_file_refused_for_its_bad_rows_comes_in_by_accept_and_goes_by_withdraw(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_id, before = bakery.batch(BAD), bakery.rows()
    said = call(capsys, "accept", batch_id)
    assert said.code == ExitCode.OK
    assert f"{FEED}, {BAD}: loaded (1 row accepted, 3 in quarantine)" in said.out
    assert "tillhouse run" in said.out
    assert bakery.rows() == before + 1

    said = call(capsys, "accept", batch_id)
    assert said.code == ExitCode.OK
    assert "it is loaded already" in said.out
    assert "have changed" not in said.out

    said = call(capsys, "withdraw", batch_id)
    assert said.code == ExitCode.OK
    assert f"{FEED}, {BAD}: withdrawn by hand" in said.out
    assert bakery.rows() == before
    assert "it was withdrawn before" in call(capsys, "withdraw", batch_id).out

    assert call(capsys, "accept", batch_id).code == ExitCode.OK
    assert bakery.rows() == before + 1


@pytest.mark.parametrize("command", ["accept", "withdraw"])
def test_a_repetition_points_to_the_file_that_it_repeats(
    command: str, bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, command, bakery.batch(AGAIN))
    assert said.code == ExitCode.DATA_REJECTED
    assert f"`tillhouse {command} {bakery.batch(GOOD)}`" in said.err


def test_a_file_that_was_refused_as_a_whole_cannot_be_accepted(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "accept", bakery.batch(EMPTY))
    assert said.code == ExitCode.DATA_REJECTED
    assert "[empty]" in said.err
    assert EMPTY in said.err


@pytest.mark.parametrize(
    "words",
    [("accept", "b-1"), ("withdraw", "b-1"), ("reload", "--batch", "b-1"), ("reload", "--feed", "b-1")],
)
def test_an_unknown_batch_or_feed_is_told_with_where_to_look(
    words: tuple[str, ...], bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, *words)
    assert said.code == ExitCode.NOT_FOUND
    assert "'b-1'" in said.err
    assert "`tillhouse status`" in said.err


def test_accept_needs_the_feed_file_of_the_batch(
    bakery: Bakery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "elsewhere.yml"
    (bakery.home.feeds / "bakery.yml").rename(moved)
    said = call(capsys, "accept", bakery.batch(BAD))
    assert said.code == ExitCode.CONFIGURATION
    assert "--feeds" in said.err
    assert call(capsys, "accept", bakery.batch(BAD), "--feeds", str(moved)).code == ExitCode.OK


@pytest.mark.parametrize("which", ["--all", "--feed", "--batch"])
def test_reload_replays_from_bronze_without_the_source_files(
    which: str, bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(bakery.home.landing)
    before = bakery.rows()
    words = {"--all": (), "--feed": (FEED,), "--batch": (bakery.batch(GOOD),)}[which]
    said = call(capsys, "reload", which, *words)
    assert said.code == ExitCode.OK
    files, rows, bad = (1, 3, 0) if which == "--batch" else (2, 6, 1)
    assert (
        f"replayed {files} of {files} file{'s' if files > 1 else ''}: {rows} rows accepted, {bad} in quarantine"
        in said.out
    )
    assert "tillhouse run" in said.out
    assert bakery.rows() == before == 6


def test_reload_of_a_file_that_is_not_loaded_points_to_accept(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "reload", "--batch", bakery.batch(BAD))
    assert said.code == ExitCode.DATA_REJECTED
    assert f"`tillhouse accept {bakery.batch(BAD)}`" in said.err


def test_reload_tells_which_bronze_copy_is_damaged_and_replays_the_others(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (bakery.home.bronze / FEED / bakery.batch(GOOD)).rglob("*.parquet"):
        path.write_bytes(b"not parquet")
    said = call(capsys, "reload", "--all")
    assert said.code == ExitCode.DATA_REJECTED
    assert "replayed 1 of 2 files" in said.out
    assert said.row(GOOD, "failed")
    assert bakery.rows() == 6


def test_reload_where_nothing_is_loaded_says_that_nothing_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "reload", "--all")
    assert (said.code, said.out) == (ExitCode.OK, "nothing to replay: no file is loaded\n")


def test_chosen_rows_come_in_once_the_feed_file_can_read_them(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = bakery.batch(MIXED)
    corrected = (
        FEED_FILE
        + '        columns: {total_amount: {remove: ["'
        + NASTY.replace("\\", "\\\\")
        + '"], default: 0}}\n'
    )
    (bakery.home.feeds / "bakery.yml").write_text(corrected, encoding="utf-8")
    assert (
        call(capsys, "reload", "--feed", FEED, "--rule", "out_of_range").out == "no such rows in quarantine\n"
    )
    assert call(capsys, "reload", "--feed", FEED, "--day", "2020-01-01").out == "no such rows in quarantine\n"
    said = call(capsys, "reload", "--feed", FEED, "--row", "2")
    assert said.code == ExitCode.USAGE
    said = call(capsys, "reload", "--batch", batch, "--row", "2")
    assert said.code == ExitCode.OK
    assert "1 row came in from quarantine" in said.out
    assert bakery.rows() == 7
    said = call(capsys, "reload", "--feed", FEED, "--rule", "not_a_number", "--column", "total_amount")
    assert said.out == "no such rows in quarantine\n"


# Missing and busy warehouses, pipes


@pytest.mark.parametrize("words", COMMANDS_THAT_READ, ids=" ".join)
def test_without_a_warehouse_a_command_says_what_makes_one(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = call(capsys, *words)
    assert said.code == ExitCode.NOT_FOUND
    assert "[no_warehouse]" in said.err
    assert "`tillhouse demo`" in said.err
    assert said.out == ""
    assert not list(tmp_path.iterdir())  # a question makes nothing


@pytest.mark.parametrize("words", [("accept", "b-1"), ("withdraw", "b-1"), ("reload", "--all")], ids=" ".join)
def test_a_repair_beside_a_run_is_refused(
    words: tuple[str, ...], bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    with writer_lock(bakery.home):
        said = call(capsys, *words)
    assert said.code == ExitCode.BUSY
    assert "[one_writer]" in said.err


def test_a_question_beside_a_run_is_told_to_wait(bakery: Bakery, capsys: pytest.CaptureFixture[str]) -> None:
    holding = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(bakery.home.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = call(capsys, "status")
        holder.communicate("")
    assert said.code == ExitCode.BUSY
    assert "another process is writing" in said.err


@pytest.mark.parametrize("words", COMMANDS_THAT_READ[:4], ids=" ".join)
def test_a_pipe_gets_plain_text_with_one_row_a_line(words: tuple[str, ...], bakery: Bakery) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        capture_output=True,
        check=True,
        env={
            "TILLHOUSE_HOME": str(bakery.home.root), "FORCE_COLOR": "1", "TERM": "xterm-256color",
            "COLUMNS": "40", "PYTHONPATH": str(Path(__file__).parents[3]),
        },
    )  # fmt: skip
    text = found.stdout.decode("utf-8")
    assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == []
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    if words[-1] == FEED or words[-1] == "show":
        assert any(bakery.batch(MIXED) in line and MIXED in line for line in text.splitlines())
