"""The sandbox's own controls, under ``/__sandbox__``: nothing here exists at a vendor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.kit.wire import BadControl, Call, Reply, Router

ROOT = "/__sandbox__"


def control(router: Router[Any], methods: str, path: str) -> Any:
    """Register one control: needs no session, costs no quota, meets no fault."""
    return router.add(methods, ROOT + path, "control", anyone=True, free=True)


def register(router: Router[Any]) -> None:
    control(router, "GET", "")(about)
    control(router, "GET", "/journal")(journal)
    control(router, "DELETE", "/journal")(clear_journal)
    control(router, "GET", "/faults")(faults)
    control(router, "POST", "/faults")(add_faults)
    control(router, "DELETE", "/faults")(clear_faults)
    control(router, "GET", "/clock")(clock)
    control(router, "POST", "/clock")(set_clock)
    control(router, "POST", "/edit")(edit)


def about(call: Call) -> Reply:
    """Counts of records, and what to sign in with."""
    return Reply(json=call.sandbox.about())


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
        raise BadControl(str(error)) from error
    return faults(call)


def clear_faults(call: Call) -> Reply:
    call.sandbox.clear_faults()
    return Reply(204)


def clock(call: Call) -> Reply:
    return Reply(json={"now": call.sandbox.clock.stamp()})


def set_clock(call: Call) -> Reply:
    """``{"advance_s": 3600}``, ``{"at": "2025-07-01T00:00:00Z"}`` (and stand still), or ``{"real": true}``."""
    body = call.request.json_object()
    time = call.sandbox.clock
    if "at" in body:
        at = datetime.fromisoformat(str(body["at"]))
        time.freeze(at if at.tzinfo else at.replace(tzinfo=UTC))
    if body.get("real"):
        time.thaw()
    time.advance(float(body.get("advance_s", 0)))
    return clock(call)


def edit(call: Call) -> Reply:
    """As a person: ``{"object", "id"?, "properties"?, "delete"?, "merge"?}``. Answers with the record's id."""
    return Reply(json=call.sandbox.edit(call.request.json_object()))
