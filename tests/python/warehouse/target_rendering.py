"""dbt's Jinja without dbt: models and macros as SQL text of any target, no adapter and no server needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from settings.home import PROJECT_ROOT

TARGETS = ("duckdb", "postgres", "redshift")


class MacroReturn(Exception):  # noqa: N818 -- control flow, as dbt's own `return` is
    """Carries the value of `{{ return(...) }}` out of a macro."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class Missing(jinja2.StrictUndefined):
    """False where a template asks, an error where it writes."""

    def __bool__(self) -> bool:
        return False


def _return(value: object) -> None:
    raise MacroReturn(value)


@cache
def macro_sources() -> dict[str, str]:
    """Text of each macro (its file's text) by macro name."""
    sources: dict[str, str] = {}
    for path in sorted((PROJECT_ROOT / "macros").rglob("*.sql")):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"{%-?\s*macro\s+(\w+)\s*\(", text):
            sources[name] = text
    return sources


@cache
def project_variables() -> Mapping[str, object]:
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    variables: Mapping[str, object] = project["vars"]
    return variables


class TargetRenderer:
    """Renders templates as dbt would for one target type."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._environment = jinja2.Environment(  # noqa: S701 -- SQL, not HTML
            extensions=["jinja2.ext.do"], undefined=Missing
        )
        self._globals: dict[str, Any] = {
            "adapter": self,
            "return": _return,
            "ref": lambda *names: f"some_schema.{names[-1]}",
            "source": lambda schema, table: f"{schema}.{table}",
            "var": self._variable,
            "env_var": lambda _name, default="": default,
            "config": lambda **_settings: "",
            "execute": False,
            "flags": {},
            "none": None,
        }
        for name in macro_sources():
            self._globals[name] = self._macro(name)

    def dispatch(self, name: str, *_package: str) -> Callable[..., str]:
        """`adapter.dispatch`: the target's macro; Redshift falls back to Postgres as its adapter does."""
        prefixes = {"duckdb": ["duckdb"], "postgres": ["postgres"], "redshift": ["redshift", "postgres"]}
        for prefix in [*prefixes[self.target], "default"]:
            if f"{prefix}__{name}" in macro_sources():
                return self._macro(f"{prefix}__{name}")
        raise LookupError(f"{name} has no implementation for {self.target}")

    def render(self, template: str) -> str:
        return self._environment.from_string(template, globals=self._globals).render()

    def macro(self, name: str, *arguments: object) -> str:
        return self._macro(name)(*arguments).strip()

    def model(self, path: Path) -> str:
        return self.render(path.read_text(encoding="utf-8"))

    def _variable(self, name: str, default: object = None) -> object:
        return project_variables().get(name, default)

    def _macro(self, name: str) -> Callable[..., str]:
        def call(*arguments: object, **named: object) -> str:
            module = self._environment.from_string(macro_sources()[name], globals=self._globals).make_module()
            try:
                return str(getattr(module, name)(*arguments, **named))
            except MacroReturn as returned:
                return str(returned.value)

        return call


def model_paths(folders: Sequence[str] = ("models",)) -> list[Path]:
    """All SQL models below the folders of the project."""
    return sorted(path for folder in folders for path in (PROJECT_ROOT / folder).rglob("*.sql"))
