"""The access policy: which role may see which metrics, dimensions and marts. What it does not allow is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from settings.errors import AccessError, ConfigurationError, NotFoundError

POLICY_FILE = Path(__file__).with_name("policy.yml")


class Kind(StrEnum):
    """What a role may see or not; the values are the words of the policy file."""

    METRICS = "metrics"
    DIMENSIONS = "dimensions"
    MARTS = "marts"


class RowRule(StrEnum):
    """Which rows of what it may see a role gets."""

    ALL = "all"
    LOCATIONS = "locations"  # those of the locations that are assigned to the key or the login


@dataclass(frozen=True)
class Role:
    """What one role may see, by name."""

    name: str
    description: str
    metrics: frozenset[str]
    dimensions: frozenset[str]
    marts: frozenset[str]
    rows: RowRule

    def allowed(self, kind: Kind) -> frozenset[str]:
        return {Kind.METRICS: self.metrics, Kind.DIMENSIONS: self.dimensions, Kind.MARTS: self.marts}[kind]

    def may_see(self, kind: Kind, name: str) -> bool:
        return name in self.allowed(kind)

    def require(self, kind: Kind, names: Iterable[str]) -> None:
        """Pass where the role may see all of these.

        Raises:
            AccessError: naming what it may not see.
        """
        denied = sorted({name for name in names if not self.may_see(kind, name)})
        if denied:
            raise AccessError(
                f"the role {self.name} may not see the {kind} {', '.join(denied)}",
                remedy=f"ask for others, or let the owner of the access policy allow them to {self.name}",
                rule="access_policy",
            )


@dataclass(frozen=True)
class AccessPolicy:
    """All roles.

    Attributes:
        smallest_group: customers that a group told by a customer dimension must have to be shown.
        customer_dimensions: traits of customers; groups by these may be small enough to name somebody.
        customer_metrics: metrics whose periods are themselves groups of customers.
    """

    smallest_group: int
    customer_dimensions: frozenset[str]
    roles: Mapping[str, Role]
    customer_metrics: frozenset[str] = frozenset()

    def role(self, name: str) -> Role:
        """The role of this name.

        Raises:
            NotFoundError: when the policy has none.
        """
        if name not in self.roles:
            raise NotFoundError(
                f"the access policy has no role {name!r}",
                remedy=f"choose one of: {', '.join(sorted(self.roles))}",
                rule="role",
            )
        return self.roles[name]

    def require_known(self, kind: Kind, known: Iterable[str]) -> None:
        """Refuse a policy that allows what does not exist: a misspelt name would deny in silence.

        Raises:
            ConfigurationError: naming what is unknown, and the roles that it is allowed to.
        """
        names = set(known)
        unknown = {
            f"{name} ({role.name})" for role in self.roles.values() for name in role.allowed(kind) - names
        }
        if unknown:
            raise ConfigurationError(
                f"the access policy allows {kind} that do not exist: {', '.join(sorted(unknown))}",
                remedy=f"correct the names in {POLICY_FILE.name}",
                rule="access_policy",
            )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _RoleText(_Strict):
    description: str = Field(min_length=1)
    rows: str = RowRule.ALL.value
    metrics: list[str] = []
    dimensions: list[str] = []
    marts: list[str] = []


class _PolicyText(_Strict):
    smallest_group: int = Field(ge=1)
    customer_dimensions: list[str]
    customer_metrics: list[str]
    sets: dict[str, dict[str, list[str]]]
    roles: dict[str, _RoleText] = Field(min_length=1)


def load_policy(path: Path = POLICY_FILE) -> AccessPolicy:
    """Read a policy file.

    Raises:
        ConfigurationError: when it cannot be read or breaks its own form.
    """
    try:
        text = _PolicyText.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        return AccessPolicy(
            smallest_group=text.smallest_group,
            customer_dimensions=frozenset(text.customer_dimensions),
            roles={name: _role(name, role, text.sets) for name, role in text.roles.items()},
            customer_metrics=frozenset(text.customer_metrics),
        )
    except (OSError, yaml.YAMLError, ValidationError, ValueError) as error:
        raise ConfigurationError(
            f"the access policy {path} cannot be used: {error}",
            remedy="compare it with docs/guides/access.md",
            rule="access_policy",
        ) from error


def _role(name: str, text: _RoleText, sets: Mapping[str, Mapping[str, Sequence[str]]]) -> Role:
    def names(kind: Kind, listed: Sequence[str]) -> frozenset[str]:
        known = sets.get(kind, {})
        return frozenset(member for word in listed for member in known.get(word, [word]))

    return Role(
        name,
        text.description,
        names(Kind.METRICS, text.metrics),
        names(Kind.DIMENSIONS, text.dimensions),
        names(Kind.MARTS, text.marts),
        RowRule(text.rows),
    )
