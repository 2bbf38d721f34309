"""`tillhouse doctor`: ready or not, and what to do."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from bakery import Bakery, Said, call, orders
from faulty_proxy import ServerError
from s3_server import CREDENTIALS, S3Bucket

from orchestration.publication import PublicTable, Stamp
from orchestration.publish_duckdb import DuckDBPublisher
from settings.errors import ExitCode
from settings.home import PROJECT_ROOT, Home
from settings.writer_lock import writer_lock


@pytest.fixture
def bakery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bakery:
    monkeypatch.setenv("TILLHOUSE_HOME", str(tmp_path / "bakery"))
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    shutil.copyfile(PROJECT_ROOT / "profiles.example.yml", profiles / "profiles.yml")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(profiles))
    return Bakery.at(tmp_path / "bakery")


def marks(said: Said) -> dict[str, str]:
    """What was looked at → ok, note or BAD."""
    lines = [line for line in said.out.splitlines() if line.startswith(("ok ", "note ", "BAD "))]
    return {line.split(maxsplit=1)[1].split(":")[0]: line.split()[0] for line in lines}


def assert_not_ready(said: Said, *names: str) -> None:
    assert said.code == ExitCode.CONFIGURATION
    assert said.out.splitlines()[-1].startswith("not ready")
    assert {name for name, mark in marks(said).items() if mark == "BAD"} == set(names)
    assert said.out.count("what to do:") >= len(names)
    assert "Traceback" not in said.err


def test_a_machine_that_has_everything_is_ready(bakery: Bakery, capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "doctor")
    assert said.code == ExitCode.OK
    assert said.out.splitlines()[-1] == "ready"
    assert set(marks(said).values()) == {"ok"}
    assert set(marks(said)) == {
        "Python", "duckdb", "dbt-duckdb", "dagster", "profile", "home folder", "free disk", "feeds", "warehouse",
        "token key",
    }  # fmt: skip
    assert said.row("feeds", "1 in", str(bakery.home.feeds))
    assert said.row("warehouse", "none yet")


def test_a_warehouse_is_told_with_its_size_and_whether_readers_see_it(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.deliver("orders.csv", orders("1.00"))
    bakery.ingest()
    assert call(capsys, "doctor").row("warehouse", "MiB", "nothing published yet")


def test_a_publication_that_readers_cannot_use_is_a_note(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.deliver("orders.csv", orders("1.00"))
    bakery.ingest()
    with duckdb.connect(str(bakery.home.warehouse)) as connection:
        connection.execute("create schema marts; create table marts.fct_orders as select 1 as order_id")
    publisher = DuckDBPublisher(bakery.home, least_part_rows=1)
    publisher.publish([PublicTable("marts", "fct_orders")], Stamp("run", "data", "project"))
    said = call(capsys, "doctor")
    assert said.row("warehouse", "published.duckdb", "1 files in published/")
    assert marks(said)["warehouse"] == "ok"
    shutil.rmtree(bakery.home.published_files)
    said = call(capsys, "doctor")
    assert marks(said)["warehouse"] == "note"
    assert "tillhouse run" in said.out


def test_a_new_home_is_ready_and_shown_how_to_begin(
    bakery: Bakery, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_HOME", str(tmp_path / "not" / "there" / "yet"))
    said = call(capsys, "doctor")
    assert said.code == ExitCode.OK
    assert marks(said)["feeds"] == "note"
    assert "tillhouse generate" in said.out


def test_a_token_key_that_is_not_set_is_a_note(
    bakery: Bakery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TILLHOUSE_TOKEN_KEY")
    said = call(capsys, "doctor")
    assert said.code == ExitCode.OK
    assert marks(said)["token key"] == "note"
    assert "TILLHOUSE_TOKEN_KEY" in said.out


def test_a_missing_profile_is_bad(
    bakery: Bakery, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    said = call(capsys, "doctor")
    assert_not_ready(said, "profile")
    assert "profiles.example.yml" in said.out


@pytest.mark.parametrize("below", ["home", "home/further/down"])
def test_a_home_that_cannot_be_made_is_bad_and_nothing_else_breaks(
    below: str,
    bakery: Bakery,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("TILLHOUSE_HOME", str(tmp_path / "a_file" / below))
    said = call(capsys, "doctor")
    assert_not_ready(said, "home folder")
    assert "TILLHOUSE_HOME" in said.out


@pytest.mark.parametrize(
    ("text", "told"), [("feeds: [", "bakery.yml"), ("company: b\nfeedz: []\n", "feedz"), ("", "bakery.yml")]
)
def test_a_broken_feed_file_is_bad_and_named(
    text: str, told: str, bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    (bakery.home.feeds / "bakery.yml").write_text(text)
    said = call(capsys, "doctor")
    assert_not_ready(said, "feeds")
    assert told in said.out


def test_feeds_that_the_environment_names_in_vain_are_bad(
    bakery: Bakery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_FEEDS", "/nowhere/feeds.yml")
    assert_not_ready(call(capsys, "doctor"), "feeds")


def test_a_missing_package_an_old_python_and_a_full_disk_are_bad(
    bakery: Bakery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "dagster":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    assert_not_ready(call(capsys, "doctor"), "Python", "dagster", "free disk")


def test_a_run_that_is_going_on_is_no_fault_of_the_machine(
    bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    with writer_lock(Home(bakery.home.root)):
        said = call(capsys, "doctor")
    assert said.code == ExitCode.OK
    assert said.row("home folder", "another tillhouse run")


FEED = """
company: bakery
defaults: {{currency: EUR}}
feeds:
  - {{name: from_bucket, location: "{location}", glob: "*.csv", entities: [{{entity: store.orders}}]}}
"""


def test_a_bucket_and_a_bronze_that_let_us_in_are_told(
    bakery: Bakery, s3_bucket: S3Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    location = f"s3://{s3_bucket.name}/orders"
    (bakery.home.feeds / "bucket.yml").write_text(FEED.format(location=location))
    monkeypatch.setenv("TILLHOUSE_BRONZE", f"s3://{s3_bucket.name}/bronze")
    said = call(capsys, "doctor")
    assert said.row("feed from_bucket", location, "lets us in; nothing is there yet")
    assert said.row("bronze", "lets us in")
    s3_bucket.put("orders/a.csv", "x")
    assert not said.row("feed from_bucket").endswith("lets us in")
    assert call(capsys, "doctor").row("feed from_bucket").endswith("lets us in")


def test_a_bucket_that_keeps_us_out_is_bad_and_no_secret_is_told(
    bakery: Bakery, s3_bucket: S3Bucket, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    (bakery.home.feeds / "bucket.yml").write_text(FEED.format(location=f"s3://{s3_bucket.name}/orders"))
    s3_bucket.proxy.harm(ServerError(403, "ExpiredToken"), times=100)
    said = call(capsys, "doctor")
    assert_not_ready(said, "feed from_bucket")
    assert said.row("feed from_bucket", "expired")
    assert not any(value in said.out for name, value in CREDENTIALS.items() if "REGION" not in name)
    assert not pauses


def test_a_database_that_cannot_be_reached_is_bad(
    bakery: Bakery, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    table = "{name: orders, watermark: updated_at, overlap: 1 hour}"
    feed = FEED.format(location="postgres://reader@127.0.0.1:9/shop").replace(
        'glob: "*.csv"', f"table: {table}"
    )
    (bakery.home.feeds / "database.yml").write_text(feed)
    said = call(capsys, "doctor")
    assert_not_ready(said, "feed from_bucket")
    assert said.row("feed from_bucket", "127.0.0.1:9, database shop", "failed 6 times")
