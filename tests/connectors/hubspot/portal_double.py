"""A small HubSpot on loopback, scripted for one test file: records, search with its lag-free index, batches, associations.

It knows only what the connector's tests ask: page sizes, the search's wall and single sort, batch limits, trace ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.connectors.kit.stub_vendor import Answer, Arrived, StubVendor, as_json

TOKEN = "pat-na1-right"
WALL = 10_000
READ_ONLY = {"hs_object_id", "createdate", "lastmodifieddate", "hs_merged_object_ids"}
Row = dict[str, Any]


def stamp(ms: int) -> str:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def refusal(status: int, category: str, **more: Any) -> Answer:
    return as_json(
        {"status": "error", "message": "refused", "category": category, "correlationId": "c", **more}, status
    )


class PortalDouble:
    """State and answers. ``contacts``: id -> properties; ``now``: the clock in milliseconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.contacts: dict[int, Row] = {}
        self.tables: dict[str, dict[int, Row]] = {"contacts": self.contacts}
        self.others: dict[tuple[str, str], dict[tuple[int, int], list[int]]] = {}
        self.setup: dict[str, list[Row]] = {}
        self.archived: dict[int, int] = {}
        self.pairs: dict[tuple[int, int], list[int]] = {}
        self.properties = ["email", "firstname", "lastname", "syncline_id", *sorted(READ_ONLY)]
        self.searches: list[Mapping[str, Any]] = []
        self.vendor = StubVendor()
        self.vendor.otherwise = self.answer
        self.intercept: Callable[[Arrived], Answer | None] = lambda _request: None

    def add(self, number: int, *, modified: int | None = None, **values: Any) -> None:
        at = stamp(modified or self.now)
        fixed = {"hs_object_id": str(number), "createdate": at, "lastmodifieddate": at}
        self.contacts[number] = {**fixed, "lastname": f"Name {number}", **values}

    # ------------------------------------------------------------ answering

    def answer(self, request: Arrived) -> Answer:
        given = self.intercept(request)
        if given is not None:
            return given
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return refusal(401, "INVALID_AUTHENTICATION")
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = orjson.loads(request.body) if request.body.startswith(b"{") else {}
        for pattern, handle in self._routes.items():
            found = re.fullmatch(pattern, parts.path)
            if found:
                return handle(self, query, body, *found.groups())
        return refusal(404, "OBJECT_NOT_FOUND")

    def account(self, _query: Row, _body: Row) -> Answer:
        return as_json(
            {"portalId": 4711, "timeZone": "Europe/Berlin", "companyCurrency": "EUR", "uiDomain": "app.hubspot.com"}
        )

    def schema(self, _query: Row, _body: Row, name: str) -> Answer:
        if name != "contacts":
            rows = self.tables.get(name, {}).values()
            names = {"hs_object_id", "hs_lastmodifieddate", *(n for row in rows for n in row)}
            return as_json({"results": [_property(n) for n in sorted(names)]})
        return as_json({"results": [_property(n) for n in self.properties]})

    def empty(self, _query: Row, _body: Row, *_parts: str) -> Answer:
        return as_json({"results": [], "lists": []})

    def owners(self, query: Row, _body: Row) -> Answer:
        return as_json({"results": self.setup.get("owners", []) if query.get("archived") != "true" else []})

    def pipelines(self, _query: Row, _body: Row, name: str) -> Answer:
        return as_json({"results": self.setup.get(name, [])})

    def lists(self, _query: Row, _body: Row) -> Answer:
        return as_json({"lists": [], "hasMore": False})

    def listing(self, query: Row, _body: Row, name: str) -> Answer:
        archived = query.get("archived") == "true"
        limit = int(query["limit"])
        if limit > 100:
            return refusal(400, "VALIDATION_ERROR")
        known = self.tables.get(name, {})
        ids = sorted(i for i in known if (i in self.archived) == archived and i > int(query.get("after", 0)))
        page = [self._record(i, query.get("properties", "").split(","), name) for i in ids[:limit]]
        return as_json({"results": page, **_next(page[-1]["id"] if len(ids) > limit else None)})

    def batch_read(self, query: Row, body: Row, name: str) -> Answer:
        if len(body["inputs"]) > 100:
            return refusal(400, "VALIDATION_ERROR")
        key = body.get("idProperty")
        by_key = {str(row.get(key)): i for i, row in self.contacts.items()} if key else {}
        survivors = {
            int(loser): i
            for i, r in self.contacts.items()
            for loser in (r.get("hs_merged_object_ids") or "").split(";")
            if loser
        }
        asked = [by_key.get(e["id"]) if key else survivors.get(int(e["id"]), int(e["id"])) for e in body["inputs"]]
        archived = query.get("archived") == "true"
        known = self.tables.get(name, {})
        found = [i for i in asked if i in known and (i in self.archived) == archived]
        rows = [self._record(i, body["properties"], name) for i in found if i is not None]
        return as_json({"status": "COMPLETE", "results": rows}, 200 if len(rows) == len(asked) else 207)

    def search(self, _query: Row, body: Row, name: str) -> Answer:
        self.searches.append(body)
        if name != "contacts":
            return as_json({"total": len(self.tables.get(name, {})), "results": []})
        limit, after = body.get("limit", 10), int(body.get("after", 0))
        if limit > 200 or len(body.get("sorts", [])) > 1 or after + limit > WALL:
            return refusal(400, "VALIDATION_ERROR")
        live = [i for i in self.contacts if i not in self.archived]
        filters = [f for group in body["filterGroups"] for f in group["filters"]]
        ids = [i for i in live if all(self._passes(i, f) for f in filters)]
        by = body["sorts"][0]["propertyName"] if body.get("sorts") else "hs_object_id"
        ids.sort(key=lambda i: (self._number(i, by), -i))  # ties in no useful order
        page = [self._record(i, body.get("properties", [])) for i in ids[after : after + limit]]
        more = str(after + limit) if len(ids) > after + limit else None
        return as_json({"total": len(ids), "results": page, **_next(more)})

    def write(self, _query: Row, body: Row, _name: str, action: str) -> Answer:
        inputs = body["inputs"]
        if len(inputs) > 100:
            return refusal(400, "VALIDATION_ERROR")
        results, errors = [], []
        for entry in inputs:
            wrong = [n for n in entry["properties"] if n not in self.properties or n in READ_ONLY]
            if wrong or entry["properties"].get("email") == "not an address":
                context = {"objectWriteTraceId": [entry["objectWriteTraceId"]], "propertyName": wrong or ["email"]}
                errors.append({"status": "error", "category": "VALIDATION_ERROR", "message": "", "context": context})
                continue
            results.append(self._written(entry, action))
        results.reverse()  # HubSpot promises no order
        return as_json({"status": "COMPLETE", "results": results, "errors": errors}, 207 if errors else 200)

    def archive(self, _query: Row, body: Row, _name: str) -> Answer:
        self.archived |= {int(e["id"]): self.now for e in body["inputs"]}
        return Answer(204, b"")

    def associations(self, _query: Row, body: Row, source: str, target: str) -> Answer:
        results = []
        pairs = self.pairs if (source, target) == ("contacts", "companies") else self.others.get((source, target), {})
        if pairs:
            for entry in body["inputs"]:
                ends = {to: types for (f, to), types in pairs.items() if f == int(entry["id"])}
                to = [{"toObjectId": t, "associationTypes": [_type(n) for n in types]} for t, types in ends.items()]
                results += [{"from": {"id": entry["id"]}, "to": to}] if to else []
        return as_json({"results": results}, 207)

    def associate(self, _query: Row, body: Row, _source: str, _target: str, _action: str) -> Answer:
        for entry in body["inputs"]:
            pair = int(entry["from"]["id"]), int(entry["to"]["id"])
            types = [t["associationTypeId"] for t in entry.get("types", [])] or [279]
            self.pairs.setdefault(pair, []).extend(types)
        return as_json({"results": []}, 201)

    _routes: Mapping[str, Callable[..., Answer]] = {
        "/account-info/v3/details": account,
        "/crm/v3/properties/(\\w+)": schema,
        "/crm-object-schemas/v3/schemas": empty,  # where the SDK looks
        "/crm/v3/owners/?": owners,
        "/crm/v3/pipelines/(\\w+)": pipelines,
        "/crm/v3/lists/search": lists,
        "/files/v3/files/search": empty,
        "/crm/v3/objects/(\\w+)": listing,
        "/crm/v3/objects/(\\w+)/batch/read": batch_read,
        "/crm/v3/objects/(\\w+)/search": search,
        "/crm/v3/objects/(\\w+)/batch/(create|update|upsert)": write,
        "/crm/v3/objects/(\\w+)/batch/archive": archive,
        "/crm/v4/associations/(\\w+)/(\\w+)/batch/read": associations,
        "/crm/v4/associations/(\\w+)/(\\w+)/batch/(create|associate/default)": associate,
    }

    # ------------------------------------------------------------ rows

    def _record(self, number: int, properties: list[str], name: str = "contacts") -> Row:
        row = self.tables[name][number]
        gone = (
            {"archived": True, "archivedAt": stamp(self.archived[number])}
            if number in self.archived
            else {"archived": False}
        )
        return {
            "id": str(number),
            "properties": {n: row.get(n) for n in properties if n in self.properties or n in row},
            "createdAt": row.get("createdate"),
            "updatedAt": row.get("lastmodifieddate") or row.get("hs_lastmodifieddate"),
            **gone,
        }

    def _number(self, number: int, name: str) -> int:
        from connectors.hubspot.cursors import parse_stamp

        return number if name == "hs_object_id" else parse_stamp(self.contacts[number][name])

    def _passes(self, number: int, test: Row) -> bool:
        value, wanted = self._number(number, test["propertyName"]), int(test["value"])
        return {"GTE": value >= wanted, "GT": value > wanted, "LTE": value <= wanted, "EQ": value == wanted}[
            test["operator"]
        ]

    def _written(self, entry: Row, action: str) -> Row:
        number: int | None = int(entry["id"]) if action == "update" else None
        if action == "upsert":
            number = next((i for i, r in self.contacts.items() if r.get(entry["idProperty"]) == entry["id"]), None)
        new = number is None
        if number is None:
            number = max(self.contacts, default=0) + 1
            self.add(number)
        self.contacts[number] |= {**entry["properties"], "lastmodifieddate": stamp(self.now)}
        return {**self._record(number, self.properties), "new": new, "objectWriteTraceId": entry["objectWriteTraceId"]}


def _property(name: str) -> Row:
    kind = "datetime" if name.endswith("date") else "number" if name == "hs_object_id" else "string"
    return {
        "name": name, "label": name, "type": kind, "fieldType": "text", "hubspotDefined": name != "syncline_id",
        "hasUniqueValue": name in ("email", "syncline_id"), "calculated": False, "options": [],
        "modificationMetadata": {"readOnlyValue": name in READ_ONLY},
    }  # fmt: skip


def _type(number: int) -> Row:
    return {"category": "HUBSPOT_DEFINED", "typeId": number, "label": "Primary" if number == 1 else None}


def _next(after: str | None) -> Row:
    return {"paging": {"next": {"after": after}}} if after else {}
