"""What dbt is told of its tests' arguments is what it would find itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.plain_arguments import note_plain_arguments, plain_texts
from settings.home import Home

ODD_TEXTS = [
    "",
    " ",
    "5",
    "'5'",
    "1e3",
    "true",
    "True",
    "None",
    "[1, 2]",
    "it's",
    "a\\nb",
    "# no comment",
    "-- x",
    "ä %",
]


def rendered_by_dbt(text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As dbt renders an argument that it has not seen."""
    from dbt.clients import jinja

    monkeypatch.setattr(jinja, "_render_cache", {})
    return jinja.get_rendered(text, {}, native=True)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_a_text_without_jinja_is_its_own_value_to_dbt(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(plain_texts({"rules": [text]})) == [text]
    found = rendered_by_dbt(text, monkeypatch)
    assert (found, type(found)) == (text, str)


@pytest.mark.parametrize(
    "text", ["{{ 5 }}", "{% raw %}x{% endraw %}", "{# nothing #}x", "x\n", "x\r\ny", "x }}"]
)
def test_what_jinja_may_change_is_left_to_dbt(text: str) -> None:
    assert not list(plain_texts([text]))


def test_the_arguments_of_all_checks_are_known_and_are_what_dbt_makes_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.clients import jinja

    runner = DbtRunner(BuildSettings(Home(tmp_path / "home")))
    runner.parse()
    monkeypatch.setattr(jinja, "_render_cache", {})
    note_plain_arguments(runner.parsed)
    known = dict(jinja._render_cache)
    assert len(known) > 100
    assert "net_sales_amount = gross_amount - discount_amount" in known
    assert known == {text: rendered_by_dbt(text, monkeypatch) for text in known}
