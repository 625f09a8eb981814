"""Errors as problem documents (RFC 9457): a stable ``code``, a plain ``detail``, what to do, and the request they belong to."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.envelope import methods_of
from domain.errors import (
    ConfigurationError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
    StorageFullError,
    SynclineError,
    TransientError,
)

log = logging.getLogger("syncline.api")

PROBLEM = "application/problem+json"


class ApiError(SynclineError):
    """A refusal of the API itself. ``status``: the HTTP status; ``headers`` go with the answer."""

    def __init__(
        self, status: int, code: str, message: str, *, remedy: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.status = status
        self.headers = dict(headers or {})


class FieldProblem(BaseModel):
    """One field of a request that is wrong. ``at``: where, as ``body.name``; the value itself is never repeated."""

    at: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). ``code`` is stable and listed in the reference of error codes."""

    type: str = Field(examples=["https://syncline.dev/errors/no_such_record"])
    title: str
    status: int
    code: str
    detail: str
    remedy: str = ""
    request_id: str = ""
    errors: list[FieldProblem] | None = None


_ERRORS_SHOWN_MAX = 100
_OF_THE_BODY = frozenset({"no_such_field"})
"""Codes that say that something is missing which the body named, and not the address."""

_CONFLICTS = frozenset(
    {
        "run_in_progress",
        "plan_changed",
        "name_taken",
        "record_exists",
        "other_account",
        "already_exists",
        "conflict",
        "not_resumable",
        "member_exists",
        "last_admin",
        "key_ended",
        "too_many_subscriptions",
    }
)


def status_of(error: SynclineError) -> int:
    """The HTTP status of an expected error."""
    match error:
        case ApiError():
            return error.status
        case RateLimitedError() | TransientError():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case StorageFullError():
            return HTTPStatus.INSUFFICIENT_STORAGE
        case ReauthRequiredError():
            return HTTPStatus.CONFLICT
        case ConfigurationError() | RecordRejectedError() if (
            error.code.startswith("no_such_") and error.code not in _OF_THE_BODY
        ):
            return HTTPStatus.NOT_FOUND
        case _ if error.code in _CONFLICTS:
            return HTTPStatus.CONFLICT
        case _:
            return HTTPStatus.UNPROCESSABLE_ENTITY


def install(app: FastAPI) -> None:
    """Let every error leave the application as a problem document."""
    app.add_exception_handler(SynclineError, expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, bug)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    remedy: str = "",
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells of an error."""
    body = Problem(
        type=f"https://syncline.dev/errors/{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        remedy=remedy,
        request_id=getattr(request.state, "request_id", ""),
        errors=errors,
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, dict(headers or {}), PROBLEM)


async def expected(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error of ours."""
    assert isinstance(error, SynclineError)  # noqa: S101  # what it is registered for
    status = status_of(error)
    headers: dict[str, str] = dict(error.headers) if isinstance(error, ApiError) else {}
    if isinstance(error, TransientError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s", error.message, extra={"code": error.code, "status": status})
    return problem(request, status, error.code, error.message, remedy=error.remedy, headers=headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = error.errors()
    shown = found[:_ERRORS_SHOWN_MAX]
    wrong = [FieldProblem(at=".".join(str(part) for part in e["loc"])[:500], message=_plain(e)) for e in shown]
    return problem(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        f"{len(found)} field{'s' if len(found) != 1 else ''} of the request cannot be taken.",
        remedy="See errors, and the reference of the API.",
        errors=wrong,
    )


def _plain(error: Mapping[str, Any]) -> str:
    """The message of a wrong field; messages of ours are sentences, and none repeats the value."""
    return "It is not valid JSON." if error["type"] == "json_invalid" else str(error["msg"])


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = {404: "no_such_route", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}.get(
        error.status_code, "bad_request"
    )
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(methods_of(request.scope))
    return problem(request, error.status_code, code, str(error.detail), headers=headers)


async def bug(request: Request, error: Exception) -> JSONResponse:
    """The answer to what nobody expected; the log has the rest."""
    log.error("a request failed", exc_info=error, extra={"code": "bug"})
    return problem(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "bug",
        "Something went wrong that should not have.",
        remedy="Nothing was half done. Report it with the request id.",
    )
