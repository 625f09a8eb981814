"""Association types and the portal's own labels.

https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4#association-type-id-values
"""

from __future__ import annotations

from sandbox.hubspot.associations import OWN
from sandbox.hubspot.errors import invalid
from sandbox.hubspot.routes.associations import ends
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

LABELS = "/crm/v4/associations/{from}/{to}/labels"


def register(router: Router) -> None:
    router.add("GET", LABELS, "association_types", scope="objects.read")(list_labels)
    router.add("POST", LABELS, "label_create", scope="objects.write")(create)
    router.add("DELETE", LABELS + "/{type}", "label_delete", scope="objects.write")(delete)
    router.add("GET", "/crm/v3/associations/{from}/{to}/types", "association_types", scope="objects.read")(types)


def list_labels(call: Call) -> Reply:
    source, target = ends(call)
    return Reply(
        json={"results": [t.as_json() for t in call.portal.associations.of(source.name, target.name).values()]}
    )


def create(call: Call) -> Reply:
    """With an ``inverseLabel`` the other direction reads differently."""
    source, target = ends(call)
    body = call.request.json_object()
    label, name = str(body.get("label") or ""), str(body.get("name") or "")
    if not label or not name:
        raise invalid("label and name are required")
    known = call.portal.associations
    if any(t.label == label for t in known.of(source.name, target.name).values()):
        raise invalid(f"There is already a label {label} between these objects")
    inverse = str(body["inverseLabel"]) if body.get("inverseLabel") else None
    return Reply(
        json={"results": [t.as_json() for t in known.add_label(source.name, target.name, label, inverse, name)]}
    )


def delete(call: Call) -> Reply:
    source, target = ends(call)
    known = call.portal.associations.of(source.name, target.name)
    gone = known.pop((OWN, int(call.path["type"])), None)
    if gone is None:
        raise invalid(f"{call.path['type']} is no label of this portal's own")
    call.portal.associations.of(target.name, source.name).pop((OWN, gone.inverse), None)
    return Reply(204)


def types(call: Call) -> Reply:
    """Version 3 knows names instead of labels."""
    source, target = ends(call)
    known = call.portal.associations.of(source.name, target.name).values()
    return Reply(json={"results": [{"id": str(t.id), "name": t.name} for t in known]})
