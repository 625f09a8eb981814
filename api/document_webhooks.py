"""What of the OpenAPI document no route makes: the door for webhooks that come in, and the events that go out (`webhooks`, 3.1)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from api.errors import PROBLEM
from webhooks.inbound.addresses import PREFIX
from webhooks.inbound.contract import PATH_TOKEN
from webhooks.outbound.catalogue import EVENTS, EventType

DOOR: Final = (f"{PREFIX}{{endpoint}}", f"{PREFIX}{{endpoint}}/{{{PATH_TOKEN}}}")
"""The door's paths: the second one is for senders that sign nothing."""

_REFUSALS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("webhook_body_not_json", "The body is no JSON: byte 0 cannot be read.", "Cannot be understood, or a header came twice"),
    401: ("webhook_signature_wrong", "The signature does not fit the request.", "Not authentic, or stale"),
    404: ("no_such_endpoint", "There is no webhook endpoint at this address.", "No such endpoint, or not any more"),
    405: ("webhook_method", "Send POST.", "The sender's scheme does not know this method"),
    408: ("webhook_too_slow", "The body was not complete after 10 seconds.", "The body came too slowly; the connection is closed"),
    413: ("webhook_body_too_large", "A body may have 1,048,576 bytes.", "Too large; the connection is closed"),
    415: ("webhook_encoded", "Send the body as it is.", "Compressed; the connection is closed"),
    500: ("delivery_refused", "The delivery was not stored. Send it again.", "Not stored: the database does not take it"),
    503: ("database_unavailable", "The delivery was not stored. Send it again.", "Not stored, or no secret yet: send it again"),
}  # fmt: skip
_JSON: Final = "application/json"


def door() -> dict[str, Any]:
    """The paths of the door, as path items."""
    with_token = {**_of_path(PATH_TOKEN, "The secret that ends the endpoint's address."), "schema": {"type": "string"}}
    endpoint = {
        **_of_path(
            "endpoint", "Names tenant and endpoint; `syncline webhooks endpoints show` tells the whole address."
        ),
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    }
    plain, token = DOOR
    return {
        plain: {"post": _delivery("receive_webhook", "Receive a webhook", [endpoint])},
        token: {
            "post": _delivery(
                "receive_webhook_by_token", "Receive a webhook that is not signed", [endpoint, with_token]
            )
        },
    }


def events() -> dict[str, Any]:
    """One path item for each type of event that goes out, by its name."""
    return {event.name: {"post": _told(event)} for event in EVENTS.values()}


def _delivery(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "tags": ["webhooks"],
        "summary": summary,
        "description": "For the senders of an endpoint: no key of the API counts here, but the sender's own signature, token or "
        "password, as the endpoint's scheme asks for. The body is whatever the sender posts, stored before it is answered, at most "
        "`SYNCLINE_WEBHOOK_BODY_MAX_BYTES` bytes and not compressed; sent again, it is answered as the first time and stored once. "
        "Endpoints for any other sender take PUT, too.",
        "operationId": name,
        "parameters": parameters,
        "requestBody": {"required": False, "content": {"*/*": {"schema": {}}}},
        "responses": {
            "200": {
                "description": "Stored, or a handshake; in the form that the sender expects",
                "content": {
                    "text/plain": {"schema": {"type": "string"}, "example": ""},
                    "text/xml": {"schema": {"type": "string"}, "example": "<Response/>"},
                },
            },
            "202": {
                "description": "Stored",
                "content": {
                    _JSON: {"schema": _ACCEPTED, "example": {"status": "accepted"}},
                    "text/plain": {"schema": {"type": "string"}, "example": ""},
                },
            },
            **{str(status): _refusal(status) for status in _REFUSALS},
        },
    }


_ACCEPTED: Final = {
    "type": "object",
    "properties": {"status": {"const": "accepted"}},
    "required": ["status"],
    "additionalProperties": False,
}


def _refusal(status: int) -> dict[str, Any]:
    code, detail, means = _REFUSALS[status]
    shown = {
        "type": f"https://syncline.dev/errors/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    told = {
        "description": means,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown}},
    }
    return told | ({"headers": {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}} if status == 503 else {})


def _told(event: EventType) -> dict[str, Any]:
    return {
        "tags": ["events"],
        "summary": event.name,
        "description": event.means,
        "operationId": f"event_{event.name.replace('.', '_')}",
        "parameters": _SIGNED,
        "requestBody": {"required": True, "content": {_JSON: {"schema": event.schema()}}},
        "responses": {
            "2XX": {"description": "Taken. Answer within 15 seconds; the body is not read"},
            "410": {"description": "Nothing is to be sent here any more: the subscription is disabled"},
            "default": {"description": "Not taken: tried again for three days, later if `Retry-After` says so"},
        },
    }


def _of_path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description}


def _of_header(name: str, description: str, pattern: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
        "example": example,
    }


_SIGNED: Final = [
    _of_header(
        "webhook-id",
        "The event's id, the same when it is sent again: ignore those you know.",
        "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        "0199d1e2-7a3b-7c44-9d55-6e77f8899aab",
    ),
    _of_header("webhook-timestamp", "When this try was made, in seconds of Unix time.", "^[0-9]+$", "1777887000"),
    _of_header(
        "webhook-signature",
        "Signatures of `webhook-id.webhook-timestamp.body` by Standard Webhooks (HMAC-SHA256), one for each secret that is "
        "valid, the newest first.",
        "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
]
