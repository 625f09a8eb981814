"""Owners.

https://developers.hubspot.com/docs/guides/api/crm/owners
"""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.errors import not_found
from sandbox.hubspot.owners import Owner
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

MOST_LISTED = 500


def register(router: Router) -> None:
    router.add("GET", "/crm/v3/owners", "owners", scope="crm.objects.owners.read")(list_owners)
    router.add("GET", "/crm/v3/owners/{id}", "owners", scope="crm.objects.owners.read")(get)


def list_owners(call: Call) -> Reply:
    """Deactivated ones only with ``archived=true``, and then only those."""
    limit, after = call.number("limit", 100, MOST_LISTED), int(call.request.query.get("after") or 0)
    email, archived = call.request.query.get("email", "").lower(), call.flag("archived")
    fitting = [
        o
        for o in call.portal.owners.values()
        if o.archived == archived and int(o.id) > after and (not email or o.email.lower() == email)
    ]
    body: dict[str, Any] = {"results": [owner.as_json() for owner in fitting[:limit]]}
    if len(fitting) > limit:
        last = fitting[limit - 1].id
        link = f"{call.request.base_url}{call.request.path}?after={last}&limit={limit}"
        body["paging"] = {"next": {"after": last, "link": link}}
    return Reply(json=body)


def get(call: Call) -> Reply:
    """By owner id, or by user id with ``idProperty=userId``."""
    by_user = call.request.query.get("idProperty") == "userId"
    found = next((o for o in call.portal.owners.values() if _fits(o, call.path["id"], by_user)), None)
    if found is None or found.archived != call.flag("archived"):
        raise not_found()
    return Reply(json=found.as_json())


def _fits(owner: Owner, wanted: str, by_user: bool) -> bool:
    return wanted == (str(owner.user_id) if by_user else owner.id)
