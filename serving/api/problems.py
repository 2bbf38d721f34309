"""Errors of the API in one form: RFC 9457, `application/problem+json`, with the project's rule and next step."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from settings.errors import (
    AccessError,
    BusyError,
    NotFoundError,
    TillhouseError,
    UnavailableError,
    UsageError,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# The first class that an error is of decides; an error of ours that is none of these is a fault on our side.
STATUS_OF: tuple[tuple[type[TillhouseError], HTTPStatus], ...] = (
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (AccessError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
)


class InvalidField(BaseModel):
    """One part of a request that has the wrong form."""

    where: str = Field(description="The way to it: body.metrics.0, query.limit", examples=["query.limit"])
    message: str = Field(examples=["Input should be less than or equal to 10000"])


class Problem(BaseModel):
    """What went wrong, and what to do (RFC 9457)."""

    type: str = Field(
        default="about:blank", description="Always about:blank: `rule` tells kinds of problems apart"
    )
    title: str = Field(description="The status in words", examples=["Forbidden"])
    status: int = Field(examples=[403])
    detail: str = Field(
        description="What is wrong", examples=["the role marketing may not see the metrics gross_margin"]
    )
    rule: str = Field(default="", description="Id of the broken rule", examples=["access_policy"])
    remedy: str = Field(default="", description="What to do next", examples=["ask for others"])
    errors: list[InvalidField] = Field(default=[], description="What of the request is wrong, part by part")


class ProblemError(Exception):
    """An answer that is a problem, raised where no error of the project says it."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = dict(headers or {})


def problem_of(
    status: HTTPStatus,
    detail: str,
    *,
    rule: str = "",
    remedy: str = "",
    headers: Mapping[str, str] | None = None,
) -> ProblemError:
    """An error that is answered with this status."""
    return ProblemError(
        Problem(title=status.phrase, status=status, detail=detail, rule=rule, remedy=remedy), headers
    )


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that says it."""
    return JSONResponse(
        problem.model_dump(), status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def describe(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these answers."""
    return {
        int(status): {
            "description": status.phrase,
            "model": Problem,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Let every error of the app be answered in this form."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return answer(error.problem, error.headers)

    @app.exception_handler(TillhouseError)
    async def _ours(_: Request, error: TillhouseError) -> JSONResponse:
        status = next((status for kind, status in STATUS_OF if isinstance(error, kind)), None)
        detail, remedy = error.problem, error.remedy
        if status is None:
            # What is wrong with files and settings of the server is no business of a caller's.
            logger.error("%s", error)
            status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "the server cannot answer this at present"
            remedy = "tell whoever runs it; its log says more"
        return answer(
            Problem(title=status.phrase, status=status, detail=detail, rule=error.rule, remedy=remedy),
            {"Retry-After": "5"} if status is HTTPStatus.SERVICE_UNAVAILABLE else None,
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        parts = [
            InvalidField(where=".".join(map(str, found["loc"])), message=found["msg"])
            for found in error.errors()
        ]
        return answer(
            Problem(
                title=status.phrase,
                status=status,
                detail="the request has another form than the specification says",
                rule="request",
                remedy="compare it with /openapi.json",
                errors=parts,
            )
        )

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return answer(Problem(title=status.phrase, status=status, detail=str(error.detail)), error.headers)

    @app.exception_handler(Exception)
    async def _fault(_: Request, error: Exception) -> JSONResponse:
        logger.error("a fault: %s", type(error).__name__, exc_info=error)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return answer(
            Problem(title=status.phrase, status=status, detail="a fault of the server", rule="fault")
        )
