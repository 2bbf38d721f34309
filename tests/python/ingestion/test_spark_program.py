"""What the Spark engine decides before any Java is started: its text, its settings, the order of its parts."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from validation_cases import csv_bytes, facts_of, request_for, write_feed

from ingestion.contract import load_contracts
from ingestion.engines import make_engine
from ingestion.engines.spark import ordered_parts
from ingestion.engines.spark_session import SparkSettings, require_spark
from ingestion.engines.spark_sql import (
    KEY_VIEW,
    LOOPS,
    java_pattern,
    java_replacement,
    spark_functions,
    spark_sql,
)
from ingestion.validation import CUT_PATTERN, DIGIT_RUN_PATTERN, SourceColumns, build_program
from settings.errors import ConfigurationError, TillhouseError
from settings.home import Home


class TestText:
    @pytest.mark.parametrize("entity", sorted(load_contracts()))
    def test_the_program_of_every_contract_is_said_in_sparks_words(self, tmp_path: Path, entity: str) -> None:
        home = Home(tmp_path)
        feed = write_feed(home, entity, currency="EUR", naive_timezone="Europe/Berlin")
        names = [column.name for column in load_contracts()[entity].columns if column.source == "file"]
        content = csv_bytes(names, [["x"] * len(names)])
        request = request_for(home, feed, tmp_path / "x.csv", facts_of(tmp_path / "x.csv", content, feed))
        columns = SourceColumns(tuple(names), 1, (("x0 is not null", "long_row"),), passed=("_block",))
        program = build_program(request, columns, spark_functions())
        text = spark_sql(program.sql)
        for foreign in (
            "$inner",
            "$outer",
            "nfc_normalize",
            "timezone(",
            "strlen(",
            "list_",
            "struct_pack",
            r"\\1",
        ):
            assert foreign not in text.lower()
        assert (KEY_VIEW in text) == program.needs_token_key
        assert text.count("ignoreNullFields") == len(re.findall(r"to_json\(", text, re.IGNORECASE)) > 0
        assert re.search(r"_block\s+FROM", text), "what the engine carries along comes out at the end"

    def test_replacements_name_groups_in_javas_way(self) -> None:
        assert java_replacement(r"****\1") == "****$1"
        assert java_replacement(r"20\3-\1-\2 \4:00") == "20$3-$1-$2 $4:00"
        assert java_replacement("5 $") == r"5 \$"

    def test_patterns(self) -> None:
        assert java_pattern(r"[^\s@]+") == r"[^\t\n\f\r @]+"
        assert java_pattern(r"^[0-9]\z") == r"^[0-9]\z"
        assert java_pattern(DIGIT_RUN_PATTERN).endswith("{12,}+")

    @pytest.mark.parametrize("ours", [DIGIT_RUN_PATTERN, CUT_PATTERN])
    def test_patterns_that_give_nothing_back_find_the_same(self, ours: str) -> None:
        """Python's matcher knows the same quantifiers."""
        texts = ["4111 1111 1111 1111", "41111111111111110526 x", "1-2-3", "1" * 13, "1" * 12, "1 " * 30, "12  34" * 9,
                 "0123456789012-", "x4111-1111-1111-1111-0526x4111",
                 "5" * 9 + " " + "6" * 4 + "  7777 8888 9999 0000 1"]  # fmt: skip
        for text in texts:
            found, expected = (re.sub(pattern, "#", text) for pattern in (LOOPS[ours], ours))
            assert found == expected, text


class TestSettings:
    def test_defaults_are_this_machine_and_quiet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TILLHOUSE_SPARK_MASTER", raising=False)
        monkeypatch.delenv("TILLHOUSE_SPARK_CONFIGURATION", raising=False)
        settings = SparkSettings.from_environment()
        assert settings.is_local
        assert settings.all_of_them()["spark.driver.bindAddress"] == "127.0.0.1"
        assert settings.all_of_them()["spark.ui.enabled"] == "false"

    def test_the_environment_configures_all_but_the_meaning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TILLHOUSE_SPARK_MASTER", "spark://127.0.0.1:7077")
        monkeypatch.setenv(
            "TILLHOUSE_SPARK_CONFIGURATION",
            '{"spark.ui.enabled": "true", "spark.sql.ansi.enabled": "false", "spark.executor.cores": 2,'
            ' "spark.executor.extraJavaOptions": "-Xss4m",'
            ' "spark.sql.subexpressionElimination.skipForShortcutExpr": "false"}',
        )
        settings = SparkSettings.from_environment()
        every = settings.all_of_them()
        assert not settings.is_local
        assert "spark.driver.bindAddress" not in every
        assert every["spark.ui.enabled"] == "true"
        assert every["spark.executor.cores"] == "2"
        assert every["spark.sql.ansi.enabled"] == "true"
        assert every["spark.sql.session.timeZone"] == "UTC"
        assert every["spark.executor.extraJavaOptions"] == "-Xss4m -XX:-DontCompileHugeMethods"
        assert settings.of_a_session()["spark.sql.subexpressionElimination.skipForShortcutExpr"] == "false"

    @pytest.mark.parametrize("text", ["secret", "[1]", "{"])
    def test_a_mistake_is_told_without_repeating_it(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("TILLHOUSE_SPARK_CONFIGURATION", text)
        with pytest.raises(ConfigurationError) as told:
            SparkSettings.from_environment()
        assert text not in str(told.value).replace("TILLHOUSE_SPARK_CONFIGURATION", "").split("write it")[0]

    @pytest.mark.parametrize(
        ("master", "is_local"), [("local", True), ("local[*]", True), ("localhost", False), ("yarn", False)]
    )
    def test_what_is_local(self, master: str, is_local: bool) -> None:
        assert SparkSettings(master).is_local == is_local


def java_that_says(folder: Path, text: str) -> str:
    """A folder whose `bin/java` says this."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return str(folder)


class TestWhatSparkNeeds:
    @pytest.fixture
    def _with_pyspark(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """PySpark is no part of the set-up; here it is only looked for."""
        monkeypatch.setattr("importlib.util.find_spec", lambda _: object())

    def test_without_pyspark(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ConfigurationError, match="PySpark") as told:
            make_engine("spark", Home(tmp_path))
        assert "requirements-engines.lock" in told.value.remedy

    @pytest.mark.usefixtures("_with_pyspark")
    def test_without_java(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(ConfigurationError, match="no Java was found") as told:
            make_engine("spark", Home(tmp_path))
        assert "openjdk-17-jre-headless" in told.value.remedy

    @pytest.mark.usefixtures("_with_pyspark")
    @pytest.mark.parametrize(
        ("said", "is_enough"),
        [('java version "1.8.0_392"', False), ('openjdk version "16.0.2"', False), ('openjdk version "17.0.1"', True),
         ('openjdk version "21" 2023-09-19', True), ("no idea", False)],
    )  # fmt: skip
    def test_the_version_of_java(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, is_enough: bool
    ) -> None:
        monkeypatch.setenv("JAVA_HOME", java_that_says(tmp_path, said))
        if is_enough:
            require_spark()
        else:
            with pytest.raises(ConfigurationError, match="Java 17"):
                require_spark()


class TestParts:
    @staticmethod
    def write(folder: Path, name: str, blocks: list[int]) -> None:
        table = pa.table({"id": [str(b) for b in blocks], "_block": pa.array(blocks, pa.int64())})
        parquet.write_table(table, folder / name)

    def test_parts_are_ordered_by_their_place_in_the_file_not_by_their_name(self, tmp_path: Path) -> None:
        self.write(tmp_path, "part-00000.parquet", [64, 64])
        self.write(tmp_path, "part-00001.parquet", [0])
        self.write(tmp_path, "part-00002.parquet", [])
        assert [path.name for path in ordered_parts(tmp_path)] == ["part-00001.parquet", "part-00000.parquet"]

    def test_a_file_without_rows_keeps_a_part_for_its_columns(self, tmp_path: Path) -> None:
        self.write(tmp_path, "part-00000.parquet", [])
        assert [path.name for path in ordered_parts(tmp_path)] == ["part-00000.parquet"]

    @pytest.mark.parametrize("parts", [[[0, 64]], [[0], [0]]])
    def test_parts_that_are_mixed_are_an_error(self, tmp_path: Path, parts: list[list[int]]) -> None:
        for number, blocks in enumerate(parts):
            self.write(tmp_path, f"part-{number}.parquet", blocks)
        with pytest.raises(TillhouseError, match="order"):
            ordered_parts(tmp_path)
