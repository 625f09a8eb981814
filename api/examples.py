"""An example for every answer of the OpenAPI document, put together from examples of its fields; a test finds those without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ID, HASH = "0199d1e2-7a3b-7c44-9d55-6e77f8899aab", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MOMENT = "2026-05-04T09:30:00Z"
_MAPPING = 'entity = "contact"\nobject = "contacts"\n\n[[fields]]\nvendor = "email"\nhub = "email"\n'

FIELDS: dict[str, Any] = {
    "account": "Acme Ltd",
    "account_id": ID,
    "action": "connection.create",
    "actor": "My script",
    "actor_kind": "key",
    "age_s": 312.5,
    "approved": HASH,
    "approved_by": "key:My script",
    "at": "body.name",
    "author": "person:ada@acme.example",
    "authorize_url": "https://app.hubspot.com/oauth/authorize?client_id=…&state=…",
    "base_url": None,
    "body": '{"email":"ada@acme.example"}',
    "body_base64": "eyJlbWFpbCI6ImFkYUBhY21lLmV4YW1wbGUifQ==",
    "bulk": "summary",
    "caller": "key:My script",
    "checksum": HASH,
    "code": "not_an_email",
    "connection": "marketing",
    "counts": {"created": 12, "updated": 3},
    "created_by": "key:My script",
    "custom_fields": {"favourite_colour": "blue"},
    "day": "2026-05-04",
    "dedupe_key": "evt_1",
    "deliveries": {"delivered": 41, "pending": 1},
    "detail": {"by": "key:My script"},
    "direction": "both",
    "docs_url": "https://developers.hubspot.com/docs/api/overview",
    "email": "ada@acme.example",
    "entity": "contact",
    "error": None,
    "excerpt": "ok",
    "fault": "data",
    "field": "email",
    "fields": {"first_name": "Ada", "email": "ada@acme.example"},
    "fingerprint": "map:not_an_email:email",
    "fix": "Mend the address, and replay.",
    "hash": HASH,
    "head": HASH,
    "headers": {"content-type": "application/json"},
    "help": "From the app's page.",
    "hub_value": "Ada",
    "id": ID,
    "invited_by": "person:grace@acme.example",
    "json_schema": {"type": "object"},
    "key_field": "syncline_id",
    "kind": "updated",
    "label": "HubSpot",
    "label_field": "last_name",
    "last_error": "timeout",
    "mapped": {"email": "ada at home"},
    "means": "The value is no e-mail address.",
    "message": "email is no e-mail address.",
    "name": "marketing",
    "new": "Ada",
    "next": "WzEyMyw0XQ",
    "now": "Ada",
    "object": "contacts",
    "objects": {"Contact": {"phase": "load", "done": 500, "total": 1000}},
    "old": "Adah",
    "original": {"Email": "ada at home"},
    "origin": "hubspot",
    "outcome": "applied",
    "outcomes": {"applied": 12},
    "params": {"limit": 100},
    "payload": {"Email": "ada at home"},
    "phase": "load",
    "place": "Contact.csv, row 7",
    "previous": HASH,
    "problem": None,
    "progress": {"seen": 100},
    "reason": "Nobody listens any more.",
    "record": {"id": ID, "version": 3},
    "records": {"contact": 1200},
    "refers_to": "account",
    "remedy": "Mend it, and send it again.",
    "report": {"records": {"contact": 1}, "left": {}},
    "request_id": ID,
    "requested_by": "person:ada@acme.example",
    "resolution": "hub",
    "resolved_by": "person:ada@acme.example",
    "result": {"counts": {"applied": 3}},
    "role": "member",
    "rule": "hub_wins",
    "rules": {"direction": "both", "policy": "hub_wins"},
    "scheme": "generic",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw",
    "secrets": {"secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw"},
    "settings": {"portal": "144"},
    "sha256": HASH,
    "source": {"email": "ada@acme.example"},
    "source_field": "email",
    "stage": "map",
    "state": "fresh",
    "status": "ok",
    "status_reason": None,
    "stopped": "retry",
    "streams": {"idle": 4},
    "target_id": ID,
    "target_kind": "connection",
    "text": _MAPPING,
    "text_version": "2026-05",
    "then": "Ada",
    "title": "Unprocessable Entity",
    "type": "contact.created",
    "unknown": None,
    "url": "https://hub.acme.example/hooks/0199d1e2",
    "vendor": "hubspot",
    "vendor_id": "151",
    "vendor_value": "Adah",
    "vendors": "refuse",
    "missing": ["vip_level__c"],
    "permissions": ["records:read"],
    "scopes": ["records:read"],
    "types": ["contact.*"],
    "warnings": [],
    "who": "ada@acme.example",
    "winner": "hub",
    "withdrawn_by": None,
    "version": 3,
    "changes": {"email": {"now": "a@acme.example", "then": "ada@acme.example"}},
}
"""By the name of a field; ``Model.field`` comes first where a name means several things."""

OF_MODELS: dict[str, Any] = {
    "AuthOut.kind": "oauth2_code",
    "AttemptOut.error": None,
    "ConnectionHealth.message": None,
    "ConnectionOut.problem": None,
    "EntityOut.name": "contact",
    "EntityOut.fields": [{"name": "email", "kind": "text", "required": False, "filter": True, "refers_to": None}],
    "EventTypeOut.name": "contact.created",
    "EventTypeOut.means": "The contact was created.",
    "FieldOut.kind": "text",
    "FieldOut.name": "email",
    "FieldOut.refers_to": None,
    "EntryOut.detail": {"name": "marketing"},
    "Found.records": {"contact": [ID]},
    "Found.content": {"communication": 4},
    "JobOut.kind": "migration.run",
    "JobOut.status": "running",
    "JobOut.result": None,
    "JobOut.error": None,
    "KeyOut.name": "My script",
    "MadeKey.name": "My script",
    "MadeKey.secret": "sk_AZnR4no7fESdVW53-Imaqw…",
    "LetterOut.status": "open",
    "LetterOut.resolution": None,
    "Me.kind": "key",
    "Me.name": "My script",
    "MemberOut.name": "Ada Lovelace",
    "MemberOut.status": "active",
    "ErasureOut.status": "done",
    "PlanOut.approved": HASH,
    "Problem.detail": "The request does not have the form that the API takes.",
    "Problem.code": "invalid_request",
    "Problem.title": "Unprocessable Entity",
    "RetentionOut.kind": "inbox",
    "RetentionOut.means": "Webhooks that came in, since they were processed.",
    "SettingOut.name": "client_id",
    "SettingOut.label": "Client id",
    "SettingOut.default": None,
    "StreamOut.status": "idle",
    "StreamOut.counts": {"created": 12},
    "StreamOut.reason": None,
    "StreamHealth.reason": None,
    "TestOut.code": None,
    "TestOut.problem": None,
    "TestOut.remedy": None,
    "TenantOut.name": "Acme Ltd",
    "TenantRef.name": "Acme Ltd",
    "UploadOut.name": "export",
    "UploadedFile.name": "contacts.csv",
    "VerdictOut.reason": "",
    "AtVendorOut.outcome": "queued",
    "ConflictOut.status": "open",
    "ConflictOut.resolution": None,
    "ConflictOut.resolved_by": None,
    "ConflictOut.winner": None,
    "RecordOut.fields": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@acme.example"},
    "api__routes__streams__RunOut.kind": "poll",
    "api__routes__streams__RunOut.status": "ended",
    "api__routes__streams__RunOut.stopped": None,
    "api__routes__streams__RunOut.code": None,
    "api__routes__migrations__RunOut.kind": "run",
    "api__routes__migrations__RunOut.status": "running",
    "api__routes__dead_letters__PreviewOut.outcome": "updated",
    "api__routes__dead_letters__PreviewOut.problem": "",
    "api__routes__webhooks_inbound__PreviewOut.problem": "",
    "api__routes__webhooks_inbound__DeliveryOut.status": "done",
    "api__routes__webhooks_inbound__DeliveryOut.reason": None,
    "api__routes__webhooks_inbound__DeliveryOut.counts": {"applied": 1},
    "api__routes__webhooks_outbound__DeliveryOut.status": "pending",
    "DeliveryDetail.status": "pending",
    "api__routes__migrations__RunOut.connection": "salesforce",
    "Outcome.error": None,
    "ConnectorOut.objects": ["contacts"],
    "ConnectorOut.capabilities": ["read", "write"],
    "Outcome.status": 201,
    "SettingOut.secret": True,
    "SettingOut.choices": ["yes", "no"],
    "api__routes__events__ChangeOut.fields": ["email"],
    "api__routes__webhooks_inbound__PreviewOut.changes": {"email": ["a@acme.example", "ada@acme.example"]},
    "MappedOut.links": [["company", "151"]],
    "api__routes__webhooks_outbound__Replayed.deliveries": 12,
    "Usage.records": {},
    "Story.unknown": None,
    "Story.records": [],
}

_FORMATS = {"uuid": ID, "date-time": MOMENT, "date": "2026-05-04"}
OF_OPERATIONS: dict[str, Any] = {
    "get_certificate": {"ok": True, "objects": [{"object": "Contact", "listed": 1000, "here": 1000}]},
    "explain_record": {
        "entity": "contact",
        "entity_id": ID,
        "state": "live",
        "label": "Ada Lovelace",
        "version": 3,
        "fields": [
            {
                "field": "email",
                "value": "ada@acme.example",
                "by": "marketing",
                "rule": "newest",
                "at": MOMENT,
                "replaced": None,
            }
        ],
        "links": [],
        "pending": [],
        "conflicts": [],
        "letters": [],
        "notes": [],
    },
    "health_ready": {"status": "ready"},
    "health_live": {"status": "live"},
    "export_audit": '{"seq":1,"at":"2026-05-04T09:30:00Z","action":"connection.create"}\n',
    "export_person": {"format": "syncline.person.1"},
    "stream_changes": 'id: WzEyMyw0XQ\nevent: change\ndata: {"entity":"contact","kind":"updated"}\n\n',
    "watch_job": 'event: job\ndata: {"status":"running"}\n\n',
    "get_metrics": 'syncline_connection_up{connection="0199d1e2",vendor="hubspot"} 1.0\n',
}
"""Answers without a model of their own, by operation."""


class Examples:
    """Examples of the models of one OpenAPI document."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas

    def of(self, schema: Mapping[str, Any], place: str = "") -> Any:
        """One value of a schema. ``place``: the model and field that it is of. Raises KeyError where nobody gave one."""
        if "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            return self.of(self._schemas[name], name)
        if (given := next(self._given(schema, place), None)) is not None:
            return given[0]
        if "anyOf" in schema:
            return self.of(next(s for s in schema["anyOf"] if s.get("type") != "null"), place)
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        return self._built(schema, place)

    def _given(self, schema: Mapping[str, Any], place: str) -> Iterator[tuple[Any]]:
        listed = "$ref" in schema.get("items", {})
        for name, known in ((place, OF_MODELS), (place.rpartition(".")[2], FIELDS)):
            formatted = schema.get("format") in _FORMATS or any(
                s.get("format") in _FORMATS for s in schema.get("anyOf", ())
            )
            if name in known and "." in place and (known is OF_MODELS or not (formatted or listed)):
                yield (known[name],)
        if "examples" in schema:
            yield (schema["examples"][0],)
        if "const" in schema:
            yield (schema["const"],)
        if "enum" in schema:
            yield (schema["enum"][0],)

    def _built(self, schema: Mapping[str, Any], place: str) -> Any:
        match schema.get("type"):
            case "object":
                return {name: self.of(part, f"{place}.{name}") for name, part in schema.get("properties", {}).items()}
            case "array":
                return [self.of(schema["items"], place)] if schema.get("items") else []
            case "integer" | "number":
                return max(1, schema.get("minimum", 1))
            case "boolean":
                return True
            case _:
                raise KeyError(f"no example for {place}: {dict(schema)}")
