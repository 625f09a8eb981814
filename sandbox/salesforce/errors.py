"""Errors as the vendor words them: a code, a sentence, the fields concerned, and the HTTP status they travel with.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.kit.wire import Refusal, Reply


class ApiError(Refusal):
    """One refused request. ``body`` is the JSON array that the vendor answers with; ``write`` is one collection result's error."""

    def __init__(self, code: str, message: str, status: int = 400, fields: Sequence[str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = None if fields is None else list(fields)

    def reply(self) -> Reply:
        return Reply(self.status, self.body())

    def body(self) -> list[dict[str, Any]]:
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = self.fields
        return [error]

    def write(self) -> dict[str, Any]:
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


class OAuthError(Exception):
    """A refusal of the token endpoint, worded by RFC 6749."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    return ApiError("NOT_FOUND", message, 404)


def session_invalid() -> ApiError:
    return ApiError("INVALID_SESSION_ID", "Session expired or invalid", 401)


def unsupported_type(name: str) -> ApiError:
    return ApiError(
        "INVALID_TYPE",
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
        "after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
    )


def no_such_field(field: str, entity: str) -> ApiError:
    return ApiError("INVALID_FIELD", f"No such column '{field}' on sobject of type {entity}")


def json_error(message: str) -> ApiError:
    return ApiError("JSON_PARSER_ERROR", message)
