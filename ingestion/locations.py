"""Locations of feeds, taken apart: `file://folder`, `s3://bucket/prefix`, `postgres://user@host:port/database`.

A location stands in files that people share and in messages, so it never holds a secret: one that does is refused, and
the refusal does not repeat it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from settings.errors import ConfigurationError
from settings.home import Home

SCHEMES = ("file", "s3", "postgres", "gdrive")
LATER_SCHEMES = ("gdrive",)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
# Parts of a connection text that say how to connect, and hold no secret.
DATABASE_OPTIONS = ("sslmode", "sslrootcert", "service", "connect_timeout", "application_name")


@dataclass(frozen=True)
class FolderLocation:
    """A folder of this machine."""

    folder: Path


@dataclass(frozen=True)
class BucketLocation:
    """Objects of a bucket whose keys begin with the prefix; the prefix is empty or ends with `/`."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class DatabaseLocation:
    """A Postgres database. What is not said here, the Postgres client takes from its own places."""

    settings: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Names the server and the database in an error text."""
        if "service" in self.settings:
            return f"the service {self.settings['service']}"
        host, port = self.settings.get("host", "localhost"), self.settings.get("port", "5432")
        return f"{host}:{port}, database {self.settings.get('dbname', '')}".rstrip()


def read_location(location: str, home: Home) -> FolderLocation | BucketLocation | DatabaseLocation:
    """Take a location apart. Relative folders are below the home folder.

    Raises:
        ConfigurationError: for a place that cannot be read, or a location that holds credentials.
    """
    scheme, separator, rest = location.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise _refusal(
            f"the location {location!r} does not say what kind of place it is",
            "write file://folder for a folder below TILLHOUSE_HOME, or file:///absolute/folder",
        )
    if scheme == "file":
        folder = Path(rest).expanduser()
        return FolderLocation(folder if folder.is_absolute() else home.root / folder)
    if scheme == "s3":
        return _bucket(rest)
    if scheme == "postgres":
        return _database(urlsplit(location))
    raise _refusal(
        f"the location {location!r} is a {scheme}:// place, which this version cannot read"
        if scheme in LATER_SCHEMES
        else f"the location begins with an unknown scheme {scheme}://",
        "copy the files to a folder or a bucket and use file://folder or s3://bucket/prefix",
    )


def _bucket(rest: str) -> BucketLocation:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or ":" in bucket or "x-amz-" in rest.lower():
        raise _refusal(
            "an s3:// location holds credentials",
            "write s3://bucket/prefix alone: credentials come from where AWS's own tools take them (environment,"
            " ~/.aws, the machine's role)",
        )
    if not BUCKET.match(bucket):
        raise _refusal(f"{bucket!r} is no name of a bucket", "write s3://bucket/prefix")
    prefix = prefix.strip("/")
    return BucketLocation(bucket, f"{prefix}/" if prefix else "")


def _database(parts: SplitResult) -> DatabaseLocation:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    where = "in PGPASSWORD, in a password file (PGPASSFILE, ~/.pgpass) or in a service file"
    if parts.password is not None or any("pass" in name for name in options):
        raise _refusal(
            "a postgres:// location holds a password",
            f"leave it out: the Postgres client finds it {where}",
        )
    unknown = [name for name in options if name not in DATABASE_OPTIONS]
    if unknown:
        raise _refusal(
            f"a postgres:// location knows no {unknown[0]!r}",
            f"use {', '.join(DATABASE_OPTIONS)}, or a service file",
        )
    try:
        port = parts.port
    except ValueError:
        raise _refusal(
            "a postgres:// location has a port that is no number", "write postgres://user@host:5432/database"
        ) from None
    found = {
        "host": parts.hostname or "",
        "port": str(port or ""),
        "user": unquote(parts.username or ""),
        "dbname": unquote(parts.path.strip("/")),
        **options,
    }
    settings = {name: value for name, value in found.items() if value}
    if not {"dbname", "service"} & set(settings):
        raise _refusal(
            "a postgres:// location names no database",
            "write postgres://user@host:5432/database, or postgres:///?service=name",
        )
    return DatabaseLocation(settings)


def _refusal(problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(problem, remedy=remedy, rule="location")
