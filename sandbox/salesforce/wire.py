"""One call to the org, and the org's words for requests that can't be read or answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.kit import wire as kit
from sandbox.kit.wire import BadControl, BadJson, NoRoute, NotAnObject, WireError
from sandbox.salesforce.errors import ApiError, json_error, not_found

if TYPE_CHECKING:
    from sandbox.salesforce.model import SalesforceSandbox


@dataclass(slots=True)
class Call(kit.Call):
    """Who asks, and where they were told the org is."""

    sandbox: SalesforceSandbox
    user_id: str = ""
    instance_url: str = ""

    @property
    def version(self) -> str:
        return self.path.get("version", "")

    @property
    def base(self) -> str:
        return f"/services/data/v{self.version}"


Router = kit.Router[Call]
Route = kit.Route[Call]


def refusal(error: WireError) -> ApiError:
    """404 NOT_FOUND, 405 when only the method is wrong, JSON_PARSER_ERROR, or INVALID_INPUT for a misused control."""
    match error:
        case NoRoute(allowed=()):
            return not_found()
        case NoRoute():
            allowed = ", ".join(error.allowed)
            message = f"HTTP Method '{error.method}' not allowed. Allowed are {allowed}"
            return ApiError("METHOD_NOT_ALLOWED", message, 405)
        case BadJson():
            where = f"[line:{error.line}, column:{error.column}]"
            return json_error(f"Unexpected character or end of input at {where}")
        case NotAnObject():
            return json_error("The HTTP entity body is required to be a JSON object")
        case BadControl():
            return ApiError("INVALID_INPUT", str(error))
    raise error
