"""One call to the portal, and the portal's words for requests that can't be read or answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.hubspot.errors import ApiError, invalid
from sandbox.kit import wire as kit
from sandbox.kit.wire import BadControl, BadJson, NoRoute, NotAnObject, WireError

if TYPE_CHECKING:
    from sandbox.hubspot.auth import Grant
    from sandbox.hubspot.model import HubSpotSandbox
    from sandbox.hubspot.portal import Portal


@dataclass(slots=True)
class Call(kit.Call):
    """Who asks, and how many inputs of its batch a fault refuses."""

    sandbox: HubSpotSandbox
    grant: Grant | None = None
    rejected: int = 0

    @property
    def portal(self) -> Portal:
        return self.sandbox.portal

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number of the query between 1 and ``most``. Raises 400."""
        text = self.request.query.get(name, str(default))
        if not text.isdigit() or not 0 < int(text) <= most:
            raise invalid(f"Invalid value for {name}: {text}. It has to be a number from 1 to {most}.")
        return int(text)

    def flag(self, name: str) -> bool:
        return self.request.query.get(name, "false").lower() == "true"

    def names(self, name: str) -> list[str]:
        """A parameter that is repeated or separated by commas."""
        return [part.strip() for value in self.request.values(name) for part in value.split(",") if part.strip()]


Router = kit.Router[Call]
Route = kit.Route[Call]


def refusal(error: WireError) -> ApiError:
    """404, 405 when only the method is wrong, 400 for a body that isn't what it should be."""
    match error:
        case NoRoute(allowed=()):
            return ApiError(404, "OBJECT_NOT_FOUND", "resource not found")
        case NoRoute():
            return ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP 405 Method Not Allowed: {error.method}")
        case BadJson():
            return invalid(
                f"Invalid input JSON on line {error.line}, column {error.column}: unexpected character or end of input"
            )
        case NotAnObject() | BadControl():
            return invalid(f"Invalid input JSON: {error}")
    raise error
