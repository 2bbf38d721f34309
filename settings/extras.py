"""Packages that not everybody installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from settings.errors import ConfigurationError


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Around a late import: say what to install.

    Args:
        extra: of the project's packages.
        purpose: what the import is for, in the plural.

    Raises:
        ConfigurationError: when a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{purpose} need the package {error.name}, which is not installed",
            remedy=f'pip install "tillhouse[{extra}]"',
            rule="missing_package",
        ) from error
