"""Where Metabase is and how it reads the warehouse: from the environment, so that no command line has a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from settings.errors import ConfigurationError
from settings.home import Home
from settings.profile import read_target

URL_VARIABLE = "METABASE_URL"
KEY_VARIABLE = "METABASE_API_KEY"
USER_VARIABLE, PASSWORD_VARIABLE = "METABASE_USER", "METABASE_PASSWORD"
DATABASE_VARIABLES = {
    "host": "METABASE_DB_HOST",
    "port": "METABASE_DB_PORT",
    "dbname": "METABASE_DB_NAME",
    "user": "METABASE_DB_USER",
    "password": "METABASE_DB_PASSWORD",
}
FILE_VARIABLE = "METABASE_DB_FILE"
GUIDE = "see docs/guides/metabase.md"


@dataclass(frozen=True)
class MetabaseSettings:
    """A server and how to log in to it: with a key, else with a user's name and password."""

    url: str
    api_key: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> MetabaseSettings:
        """What the environment says.

        Raises:
            ConfigurationError: when the address or the log-in is missing, or the address is none.
        """
        url = _variable(URL_VARIABLE).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise ConfigurationError(
                f"{URL_VARIABLE} does not name a Metabase server",
                remedy=f"set it to its address without a name or a password, such as https://bi.example.com; {GUIDE}",
                rule="metabase_settings",
            )
        found = cls(url, _variable(KEY_VARIABLE), _variable(USER_VARIABLE), _variable(PASSWORD_VARIABLE))
        if not found.api_key and not (found.user and found.password):
            raise ConfigurationError(
                "there is no log-in for Metabase",
                remedy=f"set {KEY_VARIABLE} to a key of the group Administrators, or {USER_VARIABLE} and"
                f" {PASSWORD_VARIABLE}; {GUIDE}",
                rule="metabase_settings",
            )
        return found

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may hold."""
        return tuple(filter(None, (self.api_key, self.password)))


def is_configured() -> bool:
    """Whether the environment names a server."""
    return bool(_variable(URL_VARIABLE))


@dataclass(frozen=True)
class DatabaseSettings:
    """How Metabase itself opens the published warehouse.

    Attributes:
        engine: Metabase's name of the driver.
        details: what it is told, but for the secret; Metabase never shows that again, so it takes no part in a plan.
    """

    engine: str
    details: Mapping[str, Any]
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, target: str, home: Home) -> DatabaseSettings:
        """The readers' connection of a target.

        For Postgres the place is that of the profile unless the environment names another (Metabase may run elsewhere);
        user and password are the readers' own and have no default, since the profile has those of the writer.

        Raises:
            ConfigurationError: when something is missing, or Metabase has no way to the target.
        """
        if target == "duckdb":
            return cls(
                "duckdb",
                {"database_file": _variable(FILE_VARIABLE) or str(home.published), "read_only": True},
            )
        if target != "postgres":
            raise ConfigurationError(
                f"Metabase is not provisioned over the target {target}",
                remedy=f"use postgres, or duckdb with its community driver; {GUIDE}",
                rule="metabase_target",
            )
        profile = read_target(target)
        given = {name: _variable(variable) for name, variable in DATABASE_VARIABLES.items()}
        missing = [DATABASE_VARIABLES[name] for name in ("user", "password") if not given[name]]
        if missing:
            raise ConfigurationError(
                f"Metabase needs a log-in of its own to the warehouse: {' and '.join(missing)} not set",
                remedy="make one that only reads (`tillhouse access apply`, then `grant tillhouse_service_dashboards to"
                f" …`), and set them; {GUIDE}",
                rule="metabase_settings",
            )
        port = given["port"] or profile.get("port", "5432")
        if not port.isdigit():
            raise ConfigurationError(
                f"{DATABASE_VARIABLES['port']} is {port!r}, which is no port",
                remedy="set it to a number",
                rule="metabase_settings",
            )
        details = {
            "host": given["host"] or profile.get("host", "localhost"),
            "port": int(port),
            "dbname": given["dbname"] or profile.get("dbname") or profile.get("database", ""),
            "user": given["user"],
            "schema-filters-type": "inclusion",
            "schema-filters-patterns": "published_marts,published_quality",
        }
        return cls("postgres", details, given["password"])


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()
