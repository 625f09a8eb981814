"""Which scopes a call needs.

https://developers.hubspot.com/docs/guides/apps/authentication/scopes
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.hubspot.portal import Portal

_FIXED = {"tickets": "tickets", "products": "e-commerce"}
_ENGAGEMENTS = frozenset({"notes", "calls", "emails", "meetings", "tasks"})


def needed(portal: Portal, scope: str, path: Mapping[str, str]) -> list[str]:
    """``objects.read`` and ``schemas.write`` depend on the object in the path; others are scopes themselves."""
    area, _, right = scope.partition(".")
    if area not in {"objects", "schemas"}:
        return [scope] if scope else []
    item = portal.find_object(path.get("object") or path.get("from") or "")
    if item is None:
        return []
    if item.custom is not None:
        return [f"crm.{area}.custom.{right}"]
    if item.name in _FIXED:
        return [_FIXED[item.name]]
    name = "contacts" if item.name in _ENGAGEMENTS else item.name
    if area == "schemas" and name not in {"contacts", "companies", "deals"}:
        area = "objects"
    return [f"crm.{area}.{name}.{right}"]
