"""The sandbox's own controls, under ``/__sandbox__``: nothing here exists at the vendor."""

from __future__ import annotations

from typing import Any

from sandbox.salesforce.clock import parse_stamp, stamp
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import parse_field
from sandbox.salesforce.wire import Call, Reply, Router

ROOT = "/__sandbox__"


def register(router: Router) -> None:
    def add(methods: str, path: str) -> Any:
        return router.add(methods, ROOT + path, "control", anyone=True, free=True)

    add("GET", "")(about)
    add("GET", "/journal")(journal)
    add("DELETE", "/journal")(clear_journal)
    add("GET", "/faults")(faults)
    add("POST", "/faults")(add_faults)
    add("DELETE", "/faults")(clear_faults)
    add("GET", "/clock")(clock)
    add("POST", "/clock")(set_clock)
    add("POST", "/schema")(schema)
    add("POST", "/limits")(limits)


def about(call: Call) -> Reply:
    """Counts of records, and what to sign in with."""
    known, org = call.sandbox.auth.credentials, call.sandbox.org
    return Reply(
        json={
            "records": {name: len(org.live(name)) for name in org.tables if org.tables[name]},
            "username": known.username,
            "password": known.password,
            "security_token": known.security_token,
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "now": stamp(call.sandbox.clock.now()),
        }
    )


def journal(call: Call) -> Reply:
    return Reply(json=call.sandbox.journal.as_json())


def clear_journal(call: Call) -> Reply:
    call.sandbox.journal.clear()
    return Reply(204)


def faults(call: Call) -> Reply:
    return Reply(json=call.sandbox.faults.as_json())


def add_faults(call: Call) -> Reply:
    """One fault, or a list of them."""
    body = call.request.json()
    try:
        call.sandbox.faults.add(body if isinstance(body, list) else [body])
    except ValueError as error:
        raise ApiError("INVALID_INPUT", str(error)) from error
    return Reply(json=call.sandbox.faults.as_json())


def clear_faults(call: Call) -> Reply:
    call.sandbox.faults.waiting.clear()
    call.sandbox.org.locks.clear()
    return Reply(204)


def clock(call: Call) -> Reply:
    return Reply(json={"now": stamp(call.sandbox.clock.now())})


def set_clock(call: Call) -> Reply:
    """``{"advance_s": 3600}``, ``{"at": "2025-07-01T00:00:00Z"}`` (and stand still), or ``{"real": true}``."""
    body = call.request.json_object()
    time = call.sandbox.clock
    if "at" in body:
        time.freeze(parse_stamp(str(body["at"])))
    if body.get("real"):
        time.thaw()
    time.advance(float(body.get("advance_s", 0)))
    return clock(call)


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
