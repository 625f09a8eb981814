"""Paths of both versions, what each costs, and the handlers behind them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from sandbox.kit import control
from sandbox.kit.multipart import parts_of
from sandbox.kit.wire import Call, Reply, Router
from sandbox.pipedrive.errors import ApiError, invalid, missing
from sandbox.pipedrive.store import CUSTOM, Row, Store, is_dead

V2 = {
    "persons": "persons", "organizations": "organizations", "deals": "deals", "activities": "activities",
    "products": "products", "pipelines": "pipelines", "stages": "stages",
}  # fmt: skip
FIELD_LISTS = {
    "personFields": "persons", "organizationFields": "organizations", "dealFields": "deals",
    "productFields": "products", "activityFields": "activities",
}  # fmt: skip
STORAGE = "https://pipedrive-files-sandbox.s3.eu-central-1.amazonaws.com"
SEARCHED = {
    "person": "persons",
    "organization": "organizations",
    "deal": "deals",
    "product": "products",
    "lead": "leads",
}
_PARENTS = ("deal_id", "person_id", "org_id", "product_id", "activity_id", "lead_id")

Handler = Callable[[Call], Reply]


def build_router() -> Router[Any]:
    router: Router[Any] = Router()
    control.register(router)
    router.add("POST", "/oauth/token", "token", anyone=True, free=True)(token)
    router.add("GET", "/oauth/authorize", "authorize", anyone=True, free=True)(authorize)
    router.add("GET", "/storage/{id}", "storage", anyone=True, free=True)(storage)
    for path, name in FIELD_LISTS.items():
        router.add("GET", f"/api/v2/{path}", "fields", scope="10")(_bound(fields, name))
        router.add("POST", f"/api/v2/{path}", "add_field", scope="5")(_bound(add_field, name))
    router.add("GET", "/api/v2/itemSearch/field", "search", scope="20")(search)
    router.add("GET", "/api/v2/deals/products", "list_deal_products", scope="10")(deal_products)
    router.add("GET", "/api/v2/deals/archived", "list_deals", scope="20")(archived_deals)
    router.add("POST", "/api/v2/deals/{deal}/products", "create_deal_products", scope="5")(attach_product)
    router.add("PATCH DELETE", "/api/v2/deals/{deal}/products/{id}", "change_deal_products", scope="5")(change_line)
    for path, name in V2.items():
        _crud(router, f"/api/v2/{path}", name, ("10", "1", "5", "PATCH"))
    _v1(router)
    return router


def _v1(router: Router[Any]) -> None:
    router.add("GET", "/api/v1/users/me", "me", scope="2")(me)
    router.add("GET", "/api/v1/users", "list_users", scope="20")(_bound(whole, "users"))
    router.add("GET", "/api/v1/users/{id}", "get_users", scope="2")(_bound(one, "users"))
    router.add("GET", "/api/v1/activityTypes", "list_activity_types", scope="20")(_bound(whole, "activity_types"))
    router.add("GET", "/api/v1/leads/archived", "list_leads", scope="40")(_bound(by_offset, "leads"))
    router.add("POST", "/api/v1/files", "create_files", scope="10")(upload)
    router.add("GET", "/api/v1/files/{id}/download", "download", scope="20")(download)
    router.add("PUT", "/api/v1/{name}/{id}/merge", "merge", scope="40")(merge)
    for path, verb in (("leads", "PATCH"), ("notes", "PUT"), ("files", "PUT")):
        _crud(router, f"/api/v1/{path}", path, ("20", "2", "10", verb), listing=by_offset)


def _crud(
    router: Router[Any],
    path: str,
    name: str,
    costs: tuple[str, str, str, str],
    listing: Callable[[Call, str], Reply] | None = None,
) -> None:
    many, single, write, verb = costs
    router.add("GET", path, f"list_{name}", scope=many)(_bound(listing or by_cursor, name))
    router.add("POST", path, f"create_{name}", scope=write)(_bound(create, name))
    router.add("GET", path + "/{id}", f"get_{name}", scope=single)(_bound(one, name))
    router.add(verb, path + "/{id}", f"update_{name}", scope=write)(_bound(update, name))
    router.add("DELETE", path + "/{id}", f"delete_{name}", scope=write)(_bound(delete, name))


def _bound(handler: Callable[[Call, str], Reply], name: str) -> Handler:
    return lambda call: handler(call, name)


def _ok(data: Any, extra: Any = None, status: int = 200) -> Reply:
    body = {"success": True, "data": data}
    if extra is not None:
        body["additional_data"] = extra
    return Reply(status, body)


def shown(name: str, row: Row) -> Row:
    """A record as its version shows it: leads carry custom fields among the others."""
    if name == "leads":
        return {**{k: v for k, v in row.items() if k != "custom_fields"}, **row.get("custom_fields", {})}
    return row


# ---------------------------------------------------------------- listings


def by_cursor(call: Call, name: str, wanted: Callable[[Row], bool] | None = None) -> Reply:
    """v2: at most 500 at a time, sorted, from an opaque marker."""
    query, store = call.request.query, call.sandbox.store
    limit = _whole_number(query.get("limit", "100"), "limit", 500)
    rows = [r for r in store.table(name).values() if (wanted or _listed(name, query))(r)]
    if "ids" in query:
        ids = query["ids"].split(",")
        if len(ids) > 100:
            raise invalid("ids must contain at most 100 items")
        rows = [r for r in rows if str(r["id"]) in ids]
    rows = _since(rows, query.get("updated_since"))
    key = query.get("sort_by", "id")
    rows.sort(key=lambda r: (r[key] or "", r["id"]) if key != "id" else (0, r["id"]))
    after = call.sandbox.unmark(query.get("cursor"))
    if after is not None:
        rows = [r for r in rows if ([r[key], r["id"]] > after if key != "id" else r["id"] > after[1])]
    page = rows[:limit]
    more = call.sandbox.mark([page[-1][key], page[-1]["id"]]) if len(rows) > limit else None
    return _ok([shown(name, r) for r in page], {"next_cursor": more})


def _listed(name: str, query: Mapping[str, str]) -> Callable[[Row], bool]:
    if name == "deals" and "deleted" in query.get("status", "").split(","):
        return lambda row: bool(row.get("is_deleted"))
    return lambda row: not is_dead(row) and not (name == "deals" and row.get("is_archived"))


def archived_deals(call: Call) -> Reply:
    return by_cursor(call, "deals", lambda row: not is_dead(row) and bool(row.get("is_archived")))


def deal_products(call: Call) -> Reply:
    ids = call.request.query.get("deal_ids", "").split(",")
    if not ids[0] or len(ids) > 100:
        raise invalid("deal_ids must hold 1 to 100 ids")
    return by_cursor(call, "deal_products", lambda row: str(row["deal_id"]) in ids)


def _since(rows: list[Row], moment: str | None) -> list[Row]:
    if moment is None:
        return rows
    if not moment.endswith("Z") or "T" not in moment:
        raise invalid("updated_since must be in RFC3339 format")
    start = datetime.fromisoformat(moment)
    return [r for r in rows if _instant(r["update_time"]) >= start]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text if text.endswith("Z") else text.replace(" ", "T") + "Z")


def by_offset(call: Call, name: str) -> Reply:
    """v1: from an offset, which moves with every deletion before it."""
    query, store = call.request.query, call.sandbox.store
    start = _whole_number(query.get("start", "0"), "start", None)
    limit = _whole_number(query.get("limit", "100"), "limit", 100 if name == "files" else 500)
    rows = [
        r for r in store.live(name) if name != "leads" or r["is_archived"] == call.request.path.endswith("archived")
    ]
    rows = _since(rows, query.get("updated_since"))
    key, _, direction = query.get("sort", "id ASC").partition(" ")
    rows.sort(
        key=lambda r: (r.get(key) or "", str(r["id"])) if key != "id" or name == "leads" else ("", f"{r['id']:012}")
    )
    if direction.upper() == "DESC":
        rows.reverse()
    page, more = rows[start : start + limit], len(rows) > start + limit
    about = {"start": start, "limit": limit, "more_items_in_collection": more}
    nested = about if name == "leads" else {"pagination": {**about, **({"next_start": start + limit} if more else {})}}
    return _ok([shown(name, r) for r in page] or None, nested)


def _whole_number(text: str, name: str, most: int | None) -> int:
    if not text.isdigit() or (most is not None and int(text) > most):
        raise invalid(f"{name} must be a whole number of at most {most}")
    return int(text)


def whole(call: Call, name: str) -> Reply:
    return _ok(list(call.sandbox.store.table(name).values()))


# ---------------------------------------------------------------- single records


def one(call: Call, name: str) -> Reply:
    return _ok(shown(name, call.sandbox.store.get(name, call.path["id"])))


def create(call: Call, name: str) -> Reply:
    return _ok(shown(name, call.sandbox.store.create(name, call.request.json_object())), status=201)


def update(call: Call, name: str) -> Reply:
    return _ok(shown(name, call.sandbox.store.update(name, call.path["id"], call.request.json_object())))


def delete(call: Call, name: str) -> Reply:
    store: Store = call.sandbox.store
    if is_dead(store.get(name, call.path["id"])):
        raise missing(name)
    store.delete(name, call.path["id"])
    return _ok({"id": call.path["id"]})


def merge(call: Call) -> Reply:
    name = call.path["name"]
    if name not in ("persons", "organizations", "deals"):
        raise missing(name)
    return _ok(call.sandbox.store.merge(name, call.path["id"], str(call.request.json_object().get("merge_with_id"))))


def attach_product(call: Call) -> Reply:
    deal = call.sandbox.store.get("deals", call.path["deal"])
    values = {**call.request.json_object(), "deal_id": deal["id"]}
    return _ok(call.sandbox.store.create("deal_products", values), status=201)


def change_line(call: Call) -> Reply:
    store: Store = call.sandbox.store
    if str(store.get("deal_products", call.path["id"])["deal_id"]) != call.path["deal"]:
        raise missing("deal product")
    if call.request.method == "DELETE":
        return delete(call, "deal_products")
    return update(call, "deal_products")


def me(call: Call) -> Reply:
    user = call.sandbox.store.table("users")["1"]
    return _ok({
        **user, "company_id": 7_654_321, "company_name": "Sandbox Company", "company_domain": "sandbox",
        "company_country": "EE", "language": {"language_code": "en", "country_code": "GB"},
        "access": [{"app": "sales", "admin": True}], "is_you": True,
    })  # fmt: skip


# ---------------------------------------------------------------- fields and search


def fields(call: Call, name: str) -> Reply:
    return _ok(call.sandbox.store.fields.get(name, []), {"next_cursor": None})


def add_field(call: Call, name: str) -> Reply:
    if name not in CUSTOM:
        raise missing("fields")
    body = call.request.json_object()
    if set(body) - {"field_name", "field_type", "options", "description", "ui_visibility"} or not body.get(
        "field_name"
    ):
        raise invalid("field_name and field_type are required")
    labels = tuple(o["label"] for o in body.get("options") or ())
    return _ok(call.sandbox.store.add_field(name, body["field_name"], body["field_type"], labels))


def search(call: Call) -> Reply:
    """Exact values only, out of an index that lags behind the records."""
    query, store = call.request.query, call.sandbox.store
    name = SEARCHED.get(query.get("entity_type", ""))
    if name is None or not query.get("term") or query.get("match") != "exact":
        raise invalid("term, entity_type and match are required")
    now, found = call.sandbox.clock.now(), []
    for row in store.table(name).values():
        ready = store.indexed_at.get((name, str(row["id"])))
        known = (ready is None or ready <= now) != is_dead(row)  # a deleted record stays in the index for a while
        values = row if name == "leads" else row.get("custom_fields", {})
        if known and values.get(query["field"]) == query["term"]:
            found.append({"result_score": 1, "item": {"id": row["id"], "name": row.get("name") or row.get("title")}})
    return _ok(found[:500], {"next_cursor": None})


# ---------------------------------------------------------------- files


def download(call: Call) -> Reply:
    row = call.sandbox.store.get("files", call.path["id"])
    if str(row["id"]) not in call.sandbox.store.blobs:
        raise missing("file")
    return Reply(302, headers={"Location": f"{STORAGE}/storage/{row['id']}?X-Amz-Signature={'0' * 32}"})


def storage(call: Call) -> Reply:
    """The storage host. It refuses who proves themselves twice, as the address is signed already."""
    if {"x-api-token", "authorization"} & set(call.request.headers):
        raise ApiError(400, "Only one auth mechanism allowed")
    content = call.sandbox.store.blobs.get(call.path["id"])
    if content is None or "X-Amz-Signature" not in call.request.query:
        raise ApiError(403, "AccessDenied")
    return Reply(body=content, content_type="application/octet-stream")


def upload(call: Call) -> Reply:
    parts = {part.name: part for part in parts_of(call.request) or ()}
    if "file" not in parts:
        raise invalid("file is required")
    store, file = call.sandbox.store, parts["file"]
    parents = {p: _parent(parts[p].content.decode()) for p in _PARENTS if p in parts}
    stamp = store.clock.now().strftime("%Y-%m-%d %H:%M:%S")
    row = store.add("files", {
        "name": file.filename, "file_name": file.filename, "file_type": file.filename.rpartition(".")[2],
        "file_size": len(file.content), "user_id": 1, "remote_location": "s3", "add_time": stamp, "update_time": stamp, **parents,
    })  # fmt: skip
    store.blobs[str(row["id"])] = file.content
    store.created.setdefault("files", []).append(str(row["id"]))
    return _ok(row, status=201)


def _parent(text: str) -> int | str:
    return int(text) if text.isdigit() else text


# ---------------------------------------------------------------- signing in


def token(call: Call) -> Reply:
    form, auth = dict(parse_qsl(call.request.body.decode())), call.sandbox.auth
    auth.check_client(call.request, form)
    if form.get("grant_type") == "refresh_token":
        if form.get("refresh_token") != auth.known.refresh_token:
            return Reply(400, {"success": False, "error": "invalid_grant"})
    elif form.get("grant_type") != "authorization_code" or auth.codes.pop(form.get("code", ""), None) is None:
        return Reply(400, {"success": False, "error": "invalid_grant"})
    return Reply(json={
        "access_token": auth.issue(), "token_type": "Bearer", "refresh_token": auth.known.refresh_token,
        "scope": "base,deals:full,contacts:full", "expires_in": 3599, "api_domain": call.sandbox.api_domain,
    })  # fmt: skip


def authorize(call: Call) -> Reply:
    """The person always allows."""
    query = call.request.query
    code = call.sandbox.auth.code(query.get("code_challenge", ""))
    target = f"{query.get('redirect_uri', '')}?{urlencode({'code': code, 'state': query.get('state', '')})}"
    return Reply(302, headers={"Location": target})


def marker(value: Any, salt: int) -> str:
    """An opaque page token."""
    return base64.urlsafe_b64encode(orjson.dumps([salt, *value])).decode()


def unmarked(text: str, salt: int) -> list[Any]:
    """Raises 400 for a token that is not (or no longer) known."""
    try:
        found: list[Any] = orjson.loads(base64.urlsafe_b64decode(text))
    except ValueError:
        found = []
    if len(found) != 3 or found[0] != salt:
        raise invalid("cursor is invalid")
    return found[1:]
