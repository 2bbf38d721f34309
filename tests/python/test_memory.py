"""One setting says what DuckDB may take, for the loader and the publication as for dbt."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.warehouses import open_warehouse
from settings.errors import ConfigurationError
from settings.home import Home
from settings.memory import (
    DEFAULT_MEMORY,
    GARBAGE_THRESHOLDS,
    MEMORY_VARIABLE,
    look_for_garbage_rarely,
    memory_limit,
)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("2GB", 2e9), ("512MiB", 2**29), ("1.5 gb", 1.5e9), ("0.5TiB", 2**39), ("700000000B", 7e8)],
)
def test_what_is_taken_means_as_much_to_duckdb(
    text: str, bytes_: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, text)
    assert memory_limit() == text
    with closing(open_warehouse("duckdb", Home(tmp_path))) as warehouse:
        ((told,),) = warehouse.query("select current_setting('memory_limit')").rows
    number, unit = str(told).split()
    size = 1024 ** ["bytes", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert 0 <= bytes_ / size - float(number) < 0.1  # one decimal is shown, the rest cut off


# DuckDB reads the minus as a number near 2 to the 64, and no percentage at all.
@pytest.mark.parametrize("text", ["2", "80%", "two gigabytes", "2GB'; drop table x", "-1GB", "GB"])
def test_anything_else_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, text)
    with pytest.raises(ConfigurationError, match="no amount of memory"):
        memory_limit()


def test_without_a_setting_it_is_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MEMORY_VARIABLE, raising=False)
    assert memory_limit() == DEFAULT_MEMORY
    profile = (Path(__file__).parents[2] / "profiles.example.yml").read_text("utf-8")
    assert f"env_var('{MEMORY_VARIABLE}', '{DEFAULT_MEMORY}')" in profile


def test_a_loader_keeps_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "256MiB")
    with closing(open_warehouse("duckdb", Home(tmp_path))) as warehouse:
        assert warehouse.query("select current_setting('memory_limit')").rows == [("256.0 MiB",)]


def test_a_limit_that_is_none_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "lots")
    with pytest.raises(ConfigurationError, match=MEMORY_VARIABLE):
        open_warehouse("duckdb", Home(tmp_path))
    assert not Home(tmp_path).warehouse.exists()


def test_a_run_looks_for_garbage_rarely_and_still_finds_it() -> None:
    class Circle:
        freed = 0

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Circle.freed += 1

    searches: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        searches.append(phase)

    former = gc.get_threshold()
    gc.callbacks.append(note)
    try:
        look_for_garbage_rarely()
        for _ in range(2 * GARBAGE_THRESHOLDS[0]):
            Circle()
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*former)
    assert Circle.freed >= GARBAGE_THRESHOLDS[0]
    assert searches.count("start") < 10  # by Python's own numbers it is hundreds
