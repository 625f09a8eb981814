"""The sandbox's controls that only a portal has: index lag, quotas, scopes, what changed."""

from __future__ import annotations

from dataclasses import asdict

from sandbox.hubspot.wire import Call, Router
from sandbox.kit.control import control
from sandbox.kit.wire import Reply


def register(router: Router) -> None:
    control(router, "POST", "/lag")(lag)
    control(router, "POST", "/limits")(limits)
    control(router, "POST", "/scopes")(scopes)
    control(router, "GET", "/changes")(changes)


def lag(call: Call) -> Reply:
    """``{"least_s": 0, "most_s": 0}``: for writes from now on. ``{"settle": true}``: the index catches up at once."""
    body, known = call.request.json_object(), call.portal.lag
    known.least_s, known.most_s = float(body.get("least_s", known.least_s)), float(body.get("most_s", known.most_s))
    if body.get("settle"):
        for table in call.portal.tables.values():
            for record in table.values():
                record.searchable(1 << 62)
    return Reply(json={"least_s": known.least_s, "most_s": known.most_s})


def limits(call: Call) -> Reply:
    """``{"burst": 190, "daily": 650000, "searches": 5, "used_today": 649990}``."""
    known = call.sandbox.limits
    for name, value in call.request.json_object().items():
        if name in {"burst", "daily", "searches", "used_today"}:
            setattr(known, name, int(value))
    return Reply(
        json={"burst": known.burst, "daily": known.daily, "searches": known.searches, "used_today": known.used_today}
    )


def scopes(call: Call) -> Reply:
    """``{"revoke": ["crm.objects.deals.read"], "grant": […]}``, for every app at once."""
    body, held = call.request.json_object(), call.sandbox.auth.scopes
    held -= set(body.get("revoke", ()))
    held |= set(body.get("grant", ()))
    return Reply(json={"scopes": sorted(held)})


def changes(call: Call) -> Reply:
    return Reply(json=[asdict(change) for change in call.portal.changes])
