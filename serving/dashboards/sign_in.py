"""Who looks at the dashboards: whoever uses this machine, or whoever signs in with a key.

Without a log-in the dashboards are for the user of this machine, who may read the published file anyway; they get the
role that was named at the start. With one, each session shows a key of `tillhouse keys create`, which is asked for
again at every turn, so that a revoked key ends at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from serving.access.answers import Viewer
from serving.access.keys import KeyStore, require_valid
from serving.access.policy import AccessPolicy, RowRule
from settings.errors import UsageError
from settings.network import is_loopback


@dataclass(frozen=True)
class Doorkeeper:
    """Lets viewers in.

    Attributes:
        local_role: of everybody who reaches the dashboards; None asks each for a key.
    """

    policy: AccessPolicy
    keys: KeyStore
    local_role: str | None

    @property
    def asks_for_keys(self) -> bool:
        return self.local_role is None

    def admit(self, key_text: str, now: datetime) -> Viewer:
        """The viewer that a session is of.

        Args:
            key_text: what was shown; not looked at where no key is asked for.

        Raises:
            AccessError: without a key that is valid now.
        """
        if self.local_role is not None:
            return Viewer(self.policy.role(self.local_role))
        key = require_valid(self.keys, key_text, roles=self.policy.roles, now=now)
        return Viewer(self.policy.role(key.role), key.locations)


def require_safe(host: str, policy: AccessPolicy, local_role: str | None) -> None:
    """Refuse to show figures to whoever comes.

    Args:
        host: the address to listen on.
        local_role: of everybody; None asks for keys.

    Raises:
        UsageError: on an address that others reach without asking for keys, or for a role that sees single locations.
        NotFoundError: when the policy has no such role.
    """
    if local_role is None:
        return
    if not is_loopback(host):
        raise UsageError(
            f"{host or 'every address'} is not of this machine alone, and nobody would have to sign in",
            remedy="add --sign-in, or listen on 127.0.0.1",
            rule="sign_in",
        )
    if policy.role(local_role).rows is RowRule.LOCATIONS:
        raise UsageError(
            f"the role {local_role} sees the locations of its key alone, and without a log-in there is no key",
            remedy="add --sign-in, or name another role",
            rule="sign_in",
        )
