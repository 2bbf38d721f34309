"""The key of the tokens that stand for e-mail addresses: HMAC-SHA256, keyed by `TILLHOUSE_TOKEN_KEY`."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from dataclasses import dataclass, field
from functools import cache

from settings.errors import ConfigurationError

KEY_VARIABLE = "TILLHOUSE_TOKEN_KEY"
DEVELOPMENT_KEY = b"tillhouse development key: not secret"
_BLOCK = 64  # bytes of a SHA-256 block

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenKey:
    """The two padded forms of the key (RFC 2104), 64 bytes each. They are bound as parameters, never written
    into SQL text, and do not show in `repr`."""

    inner_pad: bytes = field(repr=False)
    outer_pad: bytes = field(repr=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> TokenKey:
        """Prepare a secret of any length; a longer one than a block is hashed first (RFC 2104, section 2)."""
        if len(secret) > _BLOCK:
            secret = hashlib.sha256(secret).digest()
        block = secret.ljust(_BLOCK, b"\0")
        return cls(bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block))

    @classmethod
    def from_environment(cls) -> TokenKey:
        """The key of the environment, else the development key (see `warn_about_development_key`)."""
        secret = os.environ.get(KEY_VARIABLE, "")
        return cls.from_secret(secret.encode("utf-8") if secret else DEVELOPMENT_KEY)

    def token(self, text: str) -> str:
        """Hex HMAC-SHA256 of a text."""
        inner = hashlib.sha256(self.inner_pad + text.encode("utf-8", "surrogatepass")).digest()
        return hashlib.sha256(self.outer_pad + inner).hexdigest()

    def email_token(self, address: str) -> str:
        """The token of one address, as the raw tables have it."""
        return self.token(_normal_address(address))


def require_own_key(place: str) -> None:
    """Refuse the development key for a place that others can reach.

    Args:
        place: where the tokens would go, as a person knows it.

    Raises:
        ConfigurationError: when the environment has no key.
    """
    if not os.environ.get(KEY_VARIABLE, ""):
        raise ConfigurationError(
            f"{KEY_VARIABLE} is not set, and {place} is not on this machine: with the development key, which everyone"
            " knows, anyone who reads a token there can test whose it is",
            remedy=f"set {KEY_VARIABLE} to a long random text, for example of `openssl rand -hex 32`, and keep it:"
            " tokens made with another key do not match",
            rule="token_key",
        )


@cache
def warn_about_development_key() -> None:
    """Say once per process, loudly, that tokens are being made with the key that everyone knows."""
    if not os.environ.get(KEY_VARIABLE, ""):
        logger.warning(
            "%s is not set: e-mail tokens are made with the DEVELOPMENT KEY, which everyone knows. "
            "Anyone can test whether an address is in this warehouse. Set it before loading real customers; "
            "tokens made with another key do not match.",
            KEY_VARIABLE,
        )


def email_token(address: str, secret: bytes) -> str:
    """The token of one address: hex HMAC-SHA256 of the trimmed, ASCII-lower-cased text."""
    return hmac.new(secret, _normal_address(address).encode("utf-8"), hashlib.sha256).hexdigest()


def _normal_address(address: str) -> str:
    upper, lower = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
    return address.strip(" ").translate(str.maketrans(upper, lower))
