"""Whether the server lives and has something to show; no key is needed."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request

from serving.api.bodies import Health, Readiness
from serving.api.dependencies import Services
from serving.api.problems import describe, problem_of
from settings.errors import TillhouseError

router = APIRouter(tags=["state"])


@router.get("/health")
def health() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/ready", responses=describe(HTTPStatus.SERVICE_UNAVAILABLE))
def ready(request: Request) -> Readiness:
    """A publication can be read."""
    services: Services = request.app.state.services
    try:
        stamp = services.figures.client.publication()
    except TillhouseError as error:
        raise problem_of(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "no publication can be read",
            rule="not_ready",
            remedy="publish one with `tillhouse run`",
            headers={"Retry-After": "5"},
        ) from error
    return Readiness(status="ready", published_at=stamp.published_at)
