"""Refusals as the vendor words them.

https://developers.hubspot.com/docs/api-reference/error-handling
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from sandbox.kit.wire import Refusal, Reply

CORRELATION_ID = "aeb5f871-7f07-4993-9211-075dc63e7cbf"
"""Every refusal has an id of its own at the vendor; here the sandbox sets one on the way out."""
Context = Mapping[str, Sequence[str]]


class ApiError(Refusal):
    """One refused request, or one refused input of a batch (``item``)."""

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        context: Context | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.category, self.message = status, category, message
        self.context = {name: list(values) for name, values in (context or {}).items()}
        self.errors = [dict(error) for error in errors]
        self.extra = dict(extra or {})
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        body = {"status": "error", "message": self.message, "correlationId": CORRELATION_ID, "category": self.category}
        shown = {"context": self.context, "errors": self.errors}
        return body | {name: value for name, value in shown.items() if value} | self.extra

    def reply(self) -> Reply:
        return Reply(self.status, self.body(), headers=dict(self.headers))

    def item(self, trace: str | None = None) -> dict[str, Any]:
        """As one of a batch's ``errors``. ``trace``: the caller's own name for the input."""
        context = self.context | ({"objectWriteTraceId": [trace]} if trace is not None else {})
        return {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
            "links": {},
            "errors": self.errors,
        }


def invalid(message: str, **context: Sequence[str]) -> ApiError:
    return ApiError(400, "VALIDATION_ERROR", message, context=context)


def not_found(message: str = "resource not found") -> ApiError:
    return ApiError(404, "OBJECT_NOT_FOUND", message)


def missing_objects(label: str, ids: Iterable[str]) -> ApiError:
    """What a batch says of ids that name nothing."""
    message = f"Could not get some {label} objects, they may be deleted or not exist. Check that ids are valid."
    return ApiError(404, "OBJECT_NOT_FOUND", message, context={"ids": list(ids)})


def bad_values(problems: Sequence[tuple[str, str, str]]) -> ApiError:
    """``problems``: property, code, sentence. The sentence carries the problems a second time, as JSON in text."""
    told = [
        {"isValid": False, "message": text, "error": code, "name": name, "localizedErrorMessage": text}
        for name, code, text in problems
    ]
    errors = [{"message": text, "code": code, "context": {"propertyName": [name]}} for name, code, text in problems]
    message = f"Property values were not valid: {orjson.dumps(told).decode()}"
    return ApiError(400, "VALIDATION_ERROR", message, errors=errors)


def contact_exists(existing: str) -> ApiError:
    """The address belongs to another contact. The id stands in the sentence alone."""
    return ApiError(409, "CONFLICT", f"Contact already exists. Existing ID: {existing}")


def required(label: str, names: Sequence[str]) -> ApiError:
    message = f"Error creating {label}. Some required properties were not set."
    errors = [{"message": f"Required property '{name}' was not set", "code": "REQUIRED_PROPERTY"} for name in names]
    return ApiError(400, "VALIDATION_ERROR", message, context={"properties": names}, errors=errors)
