"""The one place that speaks HTTP to Metabase, through the package metabase-api.

The package answers a failed GET or POST with `False` and a failed PUT with a status code, sets no timeout, asks for a
session again before every call, and its constructor calls the server. Here every failure is an error with a next step,
every call has a timeout and follows no redirect, and nothing is sent before the first call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from metabase_api import Metabase_API

from serving.metabase.settings import KEY_VARIABLE, MetabaseSettings
from settings.errors import AccessError, ConfigurationError, NotFoundError, UnavailableError

TIMEOUT_SECONDS = (5.0, 60.0)  # to connect, and for each wait of an answer: writing a dashboard can take long
MOST_LETTERS = 300
REDIRECTED, SERVER_ERROR = 300, 500


class StaleRevisionError(UnavailableError):
    """Somebody changed the permissions after they were read; read them again."""


class _Api(Metabase_API):  # type: ignore[misc]  # the package has no types
    """The package's client without what its constructor does on its own."""

    def __init__(self, domain: str, header: dict[str, str]) -> None:
        self.domain = domain
        self.header = header
        self.email = None
        self.auth = None

    def validate_session(self) -> None:
        """Not before every call: an expired session is told by the answer."""


class MetabaseServer:
    """Calls of Metabase's HTTP interface. Bodies and answers are JSON."""

    def __init__(self, settings: MetabaseSettings) -> None:
        self._settings = settings
        self._api: _Api | None = None

    @property
    def url(self) -> str:
        return self._settings.url

    def get(self, path: str, **parameters: str) -> Any:
        """The answer to a GET.

        Raises:
            AccessError: when Metabase does not accept the log-in, or does not let it do this.
            NotFoundError: when there is nothing at this path.
            UnavailableError: when it cannot be reached, is too slow, or fails.
            ConfigurationError: when it refuses the request.
        """
        return self._call("get", path, params=parameters)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to a POST; raises as `get` does."""
        return self._call("post", path, json=dict(body or {}))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a PUT; raises as `get` does.

        Raises:
            StaleRevisionError: when the body is of permissions that were changed since they were read.
        """
        return self._call("put", path, json=dict(body))

    def require_administrator(self) -> None:
        """Pass where the server answers and lets this log-in see groups; raises as `get` does."""
        self.get("/api/permissions/group")

    def _call(self, method: str, path: str, **words: Any) -> Any:
        api = self._session()
        answer = self._sent(getattr(api, method), path, words)
        if answer.status_code == requests.codes.unauthorized and not self._settings.api_key:
            self._api = None  # a session ends by itself after a while
            answer = self._sent(getattr(self._session(), method), path, words)
        return self._read(method, path, answer)

    def _session(self) -> _Api:
        if self._api is None:
            api = _Api(self._settings.url, {"X-API-KEY": self._settings.api_key})
            if not self._settings.api_key:
                api.header = {}
                login = {"username": self._settings.user, "password": self._settings.password}
                answer = self._sent(api.post, "/api/session/", {"json": login})
                if answer.status_code in {requests.codes.bad_request, requests.codes.unauthorized}:
                    raise self._not_accepted()
                api.header = {"X-Metabase-Session": str(self._read("post", "/api/session/", answer)["id"])}
            self._api = api
        return self._api

    def _sent(self, method: Any, path: str, words: Mapping[str, Any]) -> requests.Response:
        try:
            answer: requests.Response = method(
                path, "raw", timeout=TIMEOUT_SECONDS, allow_redirects=False, **words
            )
        except requests.Timeout as error:
            raise UnavailableError(
                f"Metabase at {self.url} did not answer in time ({path})",
                remedy="see that it runs and is not busy, then do it again: what is done already is found again",
                rule="metabase",
            ) from error
        except requests.RequestException as error:
            raise UnavailableError(
                f"Metabase at {self.url} cannot be reached: {type(error).__name__}",
                remedy="see that it runs and that METABASE_URL is right",
                rule="metabase",
            ) from error
        return answer

    def _read(self, method: str, path: str, answer: requests.Response) -> Any:
        where = f"{method.upper()} {path}"
        status = answer.status_code
        if status == requests.codes.unauthorized:
            raise self._not_accepted()
        if status == requests.codes.forbidden:
            raise AccessError(
                f"Metabase does not let this log-in do {where}",
                remedy="use a key or a user of the group Administrators",
                rule="metabase",
            )
        if status == requests.codes.not_found:
            raise NotFoundError(
                f"Metabase at {self.url} has nothing at {where}",
                remedy="see that METABASE_URL is right and that the server is of version 0.54 or later",
                rule="metabase",
            )
        if status == requests.codes.conflict:
            raise StaleRevisionError(
                f"Metabase's permissions were changed while they were being written ({where})",
                remedy="do it again when nobody is editing them",
                rule="metabase",
            )
        if status >= SERVER_ERROR:
            raise UnavailableError(
                f"Metabase failed at {where} with status {status}: {self._said(answer)}",
                remedy="look into its log, then do it again: what is done already is found again",
                rule="metabase",
            )
        if status >= REDIRECTED:
            raise ConfigurationError(
                f"Metabase refused {where} with status {status}: {self._said(answer)}",
                remedy="compare its version with that in docs/guides/metabase.md",
                rule="metabase",
            )
        if status == requests.codes.no_content or not answer.content:
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise UnavailableError(
                f"what answers {where} at {self.url} is no Metabase: its answer is no JSON",
                remedy="see that METABASE_URL is right and that no log-in page of a proxy is in between",
                rule="metabase",
            ) from error

    def _not_accepted(self) -> AccessError:
        by = KEY_VARIABLE if self._settings.api_key else "METABASE_USER and METABASE_PASSWORD"
        return AccessError(
            f"Metabase at {self.url} does not accept the log-in of {by}",
            remedy="make a new key in its admin settings (group Administrators) and set it",
            rule="metabase",
        )

    def _said(self, answer: requests.Response) -> str:
        """What a refusal says, on one line and without our secrets."""
        text = " ".join(answer.text.split())[:MOST_LETTERS]
        for secret in self._settings.secrets:
            text = text.replace(secret, "***")
        return text or "nothing more is said"
