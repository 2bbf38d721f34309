"""What tests share of dbt is what each would have parsed, and coverage misses dbt alone."""

from __future__ import annotations

import sys
import threading
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from made_once import shared_folder
from shared_dbt import dbt_shared_by_tests, parse_key, untraced

from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import Home


def test_a_second_home_takes_over_the_parse_with_the_files_that_it_wrote(tmp_path: Path) -> None:
    first, second = (DbtRunner(BuildSettings(Home(tmp_path / name))) for name in ("first", "second"))
    assert first.parse() == second.parse()
    assert first.parsed is second.parsed
    written = {path.name: path.read_bytes() for path in first.settings.home.dbt_target.glob("*.json")}
    taken = {path.name: path.read_bytes() for path in second.settings.home.dbt_target.glob("*.json")}
    assert "manifest.json" in written
    assert taken == written


@pytest.mark.parametrize(
    "name", ["TILLHOUSE_REPORTING_CURRENCY", "TILLHOUSE_SCHEMA_PREFIX", "TILLHOUSE_POSTGRES_DATABASE"]
)
def test_what_parsing_reads_asks_for_a_parse_of_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BuildSettings(Home(tmp_path))
    former = parse_key(settings)
    monkeypatch.setenv("TILLHOUSE_HOME", str(tmp_path / "another"))
    assert parse_key(settings) == former
    monkeypatch.setenv(name, "other")
    assert parse_key(settings) != former
    assert parse_key(BuildSettings(Home(tmp_path), target="postgres")) != parse_key(settings)


def test_a_process_takes_over_what_another_one_has_parsed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mine = DbtRunner(BuildSettings(Home(tmp_path / "first")))
    mine.parse()
    with dbt_shared_by_tests(shared_folder(tmp_path_factory)):  # as one that has nothing in its memory yet
        theirs = DbtRunner(BuildSettings(Home(tmp_path / "second")))
        assert theirs.parse() == mine.manifest
    assert theirs.parsed is not mine.parsed
    assert set(theirs.parsed.nodes) == set(mine.parsed.nodes)


@pytest.mark.minutes
def test_neither_a_date_nor_the_address_of_a_server_changes_what_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for place, as_of in enumerate((None, date(2026, 1, 1))):
        (tmp_path / str(place)).mkdir()
        monkeypatch.setenv("TILLHOUSE_POSTGRES_PORT", str(5000 + place))
        with dbt_shared_by_tests(tmp_path / str(place)):
            settings = BuildSettings(Home(tmp_path / str(place) / "home"), target="postgres", as_of=as_of)
            written.append(parsed_parts(DbtRunner(settings).parse()))
    assert written[0] == written[1]


def parsed_parts(manifest: Any) -> Any:
    """A manifest without what tells of the parse itself."""
    if isinstance(manifest, dict):
        return {
            name: parsed_parts(part)
            for name, part in manifest.items()
            if name not in {"created_at", "metadata"}
        }
    return [parsed_parts(part) for part in manifest] if isinstance(manifest, list) else manifest


def test_a_function_is_not_traced_nor_are_its_threads_and_what_follows_is() -> None:
    seen: list[str] = []

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            seen.append(frame.f_code.co_name)
        return watch

    def inner() -> None:
        raise ValueError("told on")

    def hidden() -> None:
        thread = threading.Thread(target=lambda: seen.append("thread ran"))
        thread.start()
        thread.join()
        inner()

    def after() -> None: ...

    tracer, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(watch)
    threading.settrace(watch)
    try:
        with pytest.raises(ValueError, match="told on"):
            untraced(hidden)()
        after()
        left = sys.gettrace(), threading.gettrace()
    finally:
        threading.settrace(of_threads)  # type: ignore[arg-type]  # it takes None as sys.settrace does
        sys.settrace(tracer)
    assert "thread ran" in seen
    assert not {"hidden", "inner", "<lambda>", "run"} & set(seen)
    assert "after" in seen
    assert left == (watch, watch)
