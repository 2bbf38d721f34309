"""The dbt profile: where the databases are. dbt and the loaders read one file, so they cannot disagree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from settings.errors import ConfigurationError
from settings.home import PROJECT_ROOT

PROFILE = "tillhouse"
# Filters that dbt offers for types; a connection text has only texts.
TYPE_FILTERS = ("as_text", "as_number", "as_bool", "as_native")


def profiles_directory() -> Path:
    """The folder whose profiles.yml dbt reads: `DBT_PROFILES_DIR`, else the project.

    Raises:
        ConfigurationError: when there is none.
    """
    folder = Path(os.environ.get("DBT_PROFILES_DIR") or PROJECT_ROOT)
    if not (folder / "profiles.yml").is_file():
        raise ConfigurationError(
            f"there is no profiles.yml in {folder}",
            remedy="run `make setup`, or copy profiles.example.yml to profiles.yml",
            rule="no_profile",
        )
    return folder


def read_target(target: str) -> dict[str, str]:
    """The settings of one target of the profile, their templates filled in; what is empty is left out.

    Only `env_var` and dbt's type filters are known in a template: importing dbt for the rest takes a second.

    Raises:
        ConfigurationError: when the file, the target or an environment variable is missing.
    """
    path = profiles_directory() / "profiles.yml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings = content[PROFILE]["outputs"][target]
        found = {str(name): _rendered(value, target) for name, value in settings.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} has no readable target {target!r} in the profile {PROFILE!r}",
            remedy="compare it with profiles.example.yml",
            rule="profile",
        ) from error
    except TemplateError as error:
        raise ConfigurationError(
            f"{path}, target {target}: a template cannot be filled in: {error}",
            remedy="use env_var('NAME') or env_var('NAME', 'default')",
            rule="profile",
        ) from error
    return {name: value for name, value in found.items() if value}


def target_type(target: str) -> str:
    """The kind of database that a target is: `duckdb`, `postgres`, `redshift`."""
    return read_target(target).get("type", "")


def _rendered(value: object, target: str) -> str:
    if value is None or isinstance(value, Mapping | list):
        return ""  # session settings and the like, for dbt alone
    if not isinstance(value, str):
        return str(value)
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    environment.globals = {"env_var": lambda name, default=None: _variable(name, default, target)}
    environment.filters |= dict.fromkeys(TYPE_FILTERS, str)
    return environment.from_string(value).render()


def _variable(name: str, default: object, target: str) -> str:
    found = os.environ.get(name)
    if found is None and default is None:
        raise ConfigurationError(
            f"the target {target} needs the environment variable {name}",
            remedy=f"set {name}, or give it a default in profiles.yml",
            rule="profile",
        )
    return str(default) if found is None else found
