"""The sandbox's controls that only an org has: schema drift and quotas."""

from __future__ import annotations

from sandbox.kit.control import control
from sandbox.kit.wire import Reply
from sandbox.salesforce.schema import parse_field
from sandbox.salesforce.wire import Call, Router


def register(router: Router) -> None:
    control(router, "POST", "/schema")(schema)
    control(router, "POST", "/limits")(limits)


def schema(call: Call) -> Reply:
    """Schema drift: ``{"object": "Contact", "add": "Shoe__c double(4,1)", "remove": "Level__c", "hide": […], "show": […]}``.

    ``hide`` takes ``Object`` and ``Object.Field`` names from the user's sight, as permissions do. ``purged_before`` empties the
    delete log up to that moment.
    """
    body, org = call.request.json_object(), call.sandbox.org
    target = str(body.get("object", ""))
    for item in parse_field(str(body["add"])) if "add" in body else ():
        org.add_field(target, item)
    if "remove" in body:
        org.remove_field(target, str(body["remove"]))
    hidden = org.permissions.hidden or set()
    org.permissions.hidden = (hidden | set(body.get("hide", ()))) - set(body.get("show", ()))
    org.purged_before = body.get("purged_before", org.purged_before)
    return Reply(204)


def limits(call: Call) -> Reply:
    """``{"daily": 1000, "used": 990}``."""
    body = call.request.json_object()
    call.sandbox.limits.daily_calls = int(body.get("daily", call.sandbox.limits.daily_calls))
    if "used" in body:
        call.sandbox.limits.set_used(int(body["used"]))
    return Reply(json=call.sandbox.limits.resource()["DailyApiRequests"])
