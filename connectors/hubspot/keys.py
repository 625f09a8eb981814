"""A property to find records by.

https://developers.hubspot.com/docs/guides/api/crm/properties#create-unique-identifier-properties
"""

from __future__ import annotations

from connectors.hubspot.portal import Portal
from domain.errors import ConfigurationError


def ensure_key_property(portal: Portal, object_name: str, name: str) -> bool:
    """Create the unique text property ``name`` where it is missing; True when it was. Raises ConfigurationError.

    https://developers.hubspot.com/docs/guides/api/crm/properties#create-unique-identifier-properties
    """
    found = portal.request("GET", f"/crm/v3/properties/{object_name}/{name}", accept={404})
    if found.status != 404:
        if found.json().get("hasUniqueValue") is True:
            return False
        raise ConfigurationError(
            f"HubSpot's {object_name} have a property {name} whose values are not unique.",
            remedy="Choose another name: HubSpot cannot make an existing property unique.",
            code="key_not_unique",
            context={"object": object_name},
        )
    groups = portal.get(f"/crm/v3/properties/{object_name}/groups")["results"]
    body = {
        "name": name,
        "label": "Syncline ID",
        "description": "Names the record in Syncline. Do not change it.",
        "groupName": groups[0]["name"],
        "type": "string",
        "fieldType": "text",
        "hasUniqueValue": True,
        "formField": False,
    }
    made = portal.request("POST", f"/crm/v3/properties/{object_name}", json=body, idempotent=True, accept={409})
    return made.status != 409
