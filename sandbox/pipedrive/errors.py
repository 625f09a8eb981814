"""Pipedrive's refusals. v1 and v2 word them alike: ``success: false`` and a sentence; the firewall answers with a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.kit.wire import Refusal, Reply

PAGE = b"<!DOCTYPE html><html><head><title>Access denied</title></head><body><h1>You are being rate limited</h1></body></html>"


@dataclass
class ApiError(Refusal):
    """``code`` is v2's word for it."""

    status: int
    error: str
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def reply(self) -> Reply:
        body = {"success": False, "error": self.error, "error_info": "Please check developers.pipedrive.com"}
        if self.code:
            body["code"] = self.code
        return Reply(self.status, body, headers=dict(self.headers))


class Firewalled(Refusal):
    """Who goes on after many 429s gets a web page from the firewall, whatever they ask."""

    def reply(self) -> Reply:
        return Reply(403, body=PAGE, content_type="text/html; charset=UTF-8")


def invalid(why: str) -> ApiError:
    return ApiError(400, f"Validation failed: {why}", "ERR_SCHEMA_VALIDATION_FAILED")


def missing(what: str) -> ApiError:
    return ApiError(404, f"{what} not found", "ERR_NOT_FOUND")


def unauthorized() -> ApiError:
    return ApiError(401, "unauthorized access")
