"""The loader reads the profile that dbt reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings.errors import ConfigurationError
from settings.home import PROJECT_ROOT
from settings.profile import read_target, target_type

PROFILE = """
tillhouse:
  outputs:
    postgres:
      type: postgres
      host: "{{ env_var('SOME_HOST') }}"
      port: "{{ env_var('SOME_PORT', '5432') | as_number }}"
      password: "{{ env_var('SOME_PASSWORD', '') }}"
      threads: 4
      settings: {a: b}
      user: null
    odd: {type: postgres, host: "{{ ''.__class__.__mro__ }}"}
    unknown: {type: postgres, host: "{{ nothing }}"}
"""


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "profiles.yml"
    path.write_text(PROFILE, encoding="utf-8")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    return path


def test_templates_are_filled_in_and_what_is_empty_is_left_out(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_HOST", "db.example.com")
    found = {"type": "postgres", "host": "db.example.com", "port": "5432", "threads": "4"}
    assert read_target("postgres") == found
    monkeypatch.setenv("SOME_PASSWORD", "it's {{ 'not' }} a template")
    assert read_target("postgres") == {**found, "password": "it's {{ 'not' }} a template"}


def test_a_missing_variable_is_named(profile: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs the environment variable SOME_HOST"):
        read_target("postgres")


@pytest.mark.parametrize("target", ["odd", "unknown"])
def test_a_template_reaches_nothing_but_the_environment(profile: Path, target: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be filled in"):
        read_target(target)


def test_a_target_or_file_that_is_not_there_is_told(profile: Path) -> None:
    with pytest.raises(ConfigurationError, match="no readable target 'nowhere'"):
        read_target("nowhere")
    profile.write_text("[", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no readable target"):
        read_target("postgres")
    profile.unlink()
    with pytest.raises(ConfigurationError, match="make setup"):
        read_target("postgres")


def test_the_example_profile_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PROJECT_ROOT / "profiles.example.yml").read_text(encoding="utf-8")
    (tmp_path / "profiles.yml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    assert {target: target_type(target) for target in ("duckdb", "postgres", "redshift")} == {
        "duckdb": "duckdb", "postgres": "postgres", "redshift": "redshift",
    }  # fmt: skip
