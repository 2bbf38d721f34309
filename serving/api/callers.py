"""Who calls: the key of a request, its role, and how often it may ask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from serving.access.keys import ApiKey, KeyStore, require_valid
from serving.access.policy import AccessPolicy, Role
from serving.api.problems import ProblemError, problem_of
from settings.errors import AccessError

SCHEME = "bearer"


@dataclass(frozen=True)
class Caller:
    """A key that is valid now, and the role that the policy has for it."""

    key: ApiKey
    role: Role


class Callers:
    """Tells who a request is from.

    Args:
        now: gives the present moment, aware UTC.
        requests_per_minute: of each key.
    """

    def __init__(
        self, keys: KeyStore, policy: AccessPolicy, *, now: Callable[[], datetime], requests_per_minute: int
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._now = now
        self._limit = RateLimitItemPerMinute(requests_per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def identify(self, authorization: str | None) -> Caller:
        """The caller that an `Authorization` header names.

        Raises:
            ProblemError: 401 without a valid key, 429 where it has asked too often.
        """
        scheme, _, text = (authorization or "").partition(" ")
        if authorization and scheme.lower() != SCHEME:
            raise _unauthorised("this is no key of this server")
        try:
            key = require_valid(self._keys, text, roles=self._policy.roles, now=self._now())
        except AccessError as error:
            raise _unauthorised(error.problem) from error
        if not self._limiter.hit(self._limit, key.key_id):
            window = self._limiter.get_window_stats(self._limit, key.key_id)
            seconds = max(math.ceil(window.reset_time - time.time()), 1)
            raise problem_of(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"the key may ask {self._limit.amount} times a minute",
                rule="rate_limit",
                remedy=f"ask again in {seconds} seconds",
                headers={"Retry-After": str(seconds)},
            )
        return Caller(key, self._policy.role(key.role))


def _unauthorised(detail: str) -> ProblemError:
    return problem_of(
        HTTPStatus.UNAUTHORIZED,
        detail,
        rule="key",
        remedy="send `Authorization: Bearer <key>`; whoever runs the server makes keys with `tillhouse keys create`",
        headers={"WWW-Authenticate": "Bearer"},
    )
