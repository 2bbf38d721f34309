"""The API as an application: its parts put together, and what happens around every call."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from serving.access.answers import Answers
from serving.access.keys import KeyStore
from serving.access.policy import AccessPolicy, load_policy
from serving.api import mart_routes, metric_routes, state_routes
from serving.api.audit import AuditLine, AuditLog
from serving.api.callers import Callers
from serving.api.dependencies import Call, NotModifiedError, Services
from serving.api.figures import Figures
from serving.api.problems import install
from serving.semantic import SemanticClient
from settings.errors import ConfigurationError
from settings.home import Home

RATE_VARIABLE, DEFAULT_RATE = "TILLHOUSE_API_REQUESTS_PER_MINUTE", 600
TIMEOUT_VARIABLE, DEFAULT_TIMEOUT = "TILLHOUSE_API_TIMEOUT_SECONDS", 30
AUDIT_FILE = "api_audit.jsonl"
DESCRIPTION = """\
Figures of the published warehouse: every number as the metric dictionary defines it, from one publication at a time.

Send a key as `Authorization: Bearer <key>`. Its role decides what may be asked. Exact decimals are texts. Errors are
problems (RFC 9457) with the broken rule and what to do. Answers carry `ETag`; with `If-None-Match` an unchanged one
costs nothing.
"""


@dataclass(frozen=True)
class ApiSettings:
    """What can be set of the API."""

    requests_per_minute: int = DEFAULT_RATE
    timeout_seconds: float = DEFAULT_TIMEOUT

    @classmethod
    def from_environment(cls) -> ApiSettings:
        """The settings of the environment.

        Raises:
            ConfigurationError: when one is no positive number.
        """
        return cls(_positive(RATE_VARIABLE, DEFAULT_RATE), _positive(TIMEOUT_VARIABLE, DEFAULT_TIMEOUT))


def create_app(
    home: Home,
    *,
    target: str = "duckdb",
    settings: ApiSettings | None = None,
    policy: AccessPolicy | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The API over what is published from a home folder.

    Raises:
        ConfigurationError: when the policy or a setting is wrong.
    """
    settings = settings or ApiSettings.from_environment()
    policy = policy or load_policy()
    figures = Figures(Answers(SemanticClient.open(home, target), policy, settings.timeout_seconds))
    callers = Callers(
        KeyStore(home.api_keys), policy, now=now, requests_per_minute=settings.requests_per_minute
    )
    audit = AuditLog(home.logs / AUDIT_FILE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        figures.answers.warm_up()
        yield
        figures.client.close()
        audit.close()

    app = FastAPI(
        title="tillhouse metrics",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        docs_url=None,  # its page would load programs from elsewhere
    )
    app.state.services = Services(figures, callers)
    install(app)

    @app.exception_handler(NotModifiedError)
    async def _not_modified(_: Request, error: NotModifiedError) -> Response:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=error.headers)

    _around_every_call(app, audit, now)
    for router in (state_routes.router, metric_routes.router, mart_routes.router):
        app.include_router(router)
    return app


def _around_every_call(app: FastAPI, audit: AuditLog, now: Callable[[], datetime]) -> None:
    @app.middleware("http")
    async def _audited(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.perf_counter()
        line = AuditLine(
            at=now().isoformat(), request_id=uuid.uuid4().hex, method=request.method, route="", status=500
        )
        try:
            response = await call_next(request)
            line.status = response.status_code
            spent = time.perf_counter() - started
            call: Call | None = getattr(request.state, "call", None)
            sql = call.work.sql_seconds if call else 0.0
            response.headers["Server-Timing"] = f"sql;dur={1000 * sql:.3f}, total;dur={1000 * spent:.3f}"
            response.headers["X-Request-Id"] = line.request_id
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers.setdefault("Cache-Control", "no-store")
            return response
        finally:
            route = request.scope.get("route")
            line.route = getattr(route, "path", "")
            call = getattr(request.state, "call", None)
            if call is not None:
                line.key_id, line.role = call.caller.key.key_id, call.caller.role.name
                line.metrics, line.dimensions = call.work.metrics, call.work.dimensions
                line.rows = call.work.rows
            line.milliseconds = round(1000 * (time.perf_counter() - started), 3)
            audit.write(line)


def _positive(variable: str, default: int) -> int:
    text = os.environ.get(variable, "").strip() or str(default)
    if not text.isdecimal() or int(text) == 0:
        raise ConfigurationError(
            f"{variable} is {text!r}", remedy="give a whole number above 0", rule="setting"
        )
    return int(text)
