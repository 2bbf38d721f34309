"""What the routes share: who calls, what they answer from, and the headers of every answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.api.bodies import MOST_OFFSET, MOST_ROWS, Freshness, SourceSystem
from serving.api.callers import Caller, Callers
from serving.api.figures import Figures, Work
from serving.api.problems import describe

ERRORS = describe(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The answer is the one that `If-None-Match` names"}
}
ANSWERS = ERRORS | NOT_MODIFIED

Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows of a page")]
Offset = Annotated[int, Query(ge=0, le=MOST_OFFSET, description="Rows left out before the page")]
System = Annotated[SourceSystem | None, Query(description="Only this source system")]
Word = Annotated[str | None, Query(max_length=500)]

bearer = HTTPBearer(auto_error=False, description="A key that `tillhouse keys create` made")


class NotModifiedError(Exception):
    """The caller has the answer already; these are its headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__("not modified")
        self.headers = headers


@dataclass(frozen=True)
class Services:
    """What an application answers with; in its state as `services`."""

    figures: Figures
    callers: Callers


@dataclass
class Call:
    """One request that may be answered: who asks, and what it costs."""

    caller: Caller
    figures: Figures
    tags_known: str
    work: Work = field(default_factory=Work)

    def fresh(self, response: Response, question: object) -> Freshness:
        """Set the headers of the answer to a question, and tell from what it is made.

        Raises:
            NotModifiedError: when the caller has this answer.
        """
        freshness = self.figures.freshness()
        tag = self.figures.etag(self.caller, question)
        as_of = sorted(freshness.as_of_dates.items())
        headers = {
            "ETag": tag,
            "Cache-Control": "private, no-cache",
            "Tillhouse-Published-At": freshness.published_at.isoformat(),
            "Tillhouse-Run": freshness.run_id,
            "Tillhouse-As-Of": ", ".join(f"{system}={day}" for system, day in as_of),
            "Tillhouse-Batch": freshness.newest_batch or "",
        }
        response.headers.update(headers)
        if tag in [text.strip().removeprefix("W/") for text in self.tags_known.split(",")]:
            raise NotModifiedError(headers)
        return freshness


def identified(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Call:
    """The call of a request with a valid key.

    Raises:
        ProblemError: see `Callers.identify`.
    """
    services: Services = request.app.state.services
    shown = f"{credentials.scheme} {credentials.credentials}" if credentials else None
    call = Call(services.callers.identify(shown), services.figures, request.headers.get("If-None-Match", ""))
    request.state.call = call
    return call


Identified = Annotated[Call, Depends(identified)]
