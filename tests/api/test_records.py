"""Records over the API: what is written is normalised, versioned, told to streams and explained; nobody sees another's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import audit
from storage.database import Database
from tests.api.conftest import As, Client

ADA = {"last_name": "Lovelace", "first_name": "Ada", "email": "Ada@Acme.Example"}


def _made(client: Client, entity: str = "contact", **fields: Any) -> dict[str, Any]:
    reply = client.post(f"/v1/records/{entity}", json={"fields": fields or ADA})
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def test_a_record_is_created_normalised_and_read_back(admin: Client) -> None:
    reply = admin.post("/v1/records/contact", json={"fields": ADA, "custom_fields": {"shoe_size": 38}})
    made = reply.json()
    assert made["fields"]["email"] == "ada@acme.example"
    assert (made["version"], made["custom_fields"], reply.headers["etag"]) == (1, {"shoe_size": 38}, '"1"')
    read = admin.get(reply.headers["location"])
    assert (read.json(), read.headers["etag"]) == (made, '"1"')
    assert admin.get(reply.headers["location"], headers={"If-None-Match": '"1"'}).status_code == 304


def test_money_loses_nothing_on_the_way(admin: Client) -> None:
    made = _made(admin, "lead", last_name="Byron", annual_revenue="12345678901234567890.12")
    assert made["fields"]["annual_revenue"] == "12345678901234567890.12"


def test_a_chosen_id_is_created_once(admin: Client) -> None:
    body = {"id": str(new_id()), "fields": ADA}
    assert [admin.post("/v1/records/contact", json=body).status_code for _ in range(2)] == [201, 409]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"fields": {"last_name": "L", "shoe_size": 38}}, "no_such_field"),
        ({"fields": {"last_name": "L", "version": 9}}, "no_such_field"),
        ({"fields": {"last_name": "L", "tenant_id": str(new_id())}}, "no_such_field"),
        ({"fields": {"last_name": "L", "custom_fields.x": 1}}, "invalid_request"),
        ({"fields": {"last_name": "L", "email": "x"}}, "not_an_email"),
        ({"fields": {"last_name": "L", "account_id": str(new_id())}}, "reference_missing"),
        ({"fields": {"last_name": "L"}, "tenant_id": "…"}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
def test_what_cannot_be_stored_is_refused_whole(admin: Client, body: dict[str, Any], code: str) -> None:
    reply = admin.post("/v1/records/contact", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert admin.get("/v1/records/contact").json()["items"] == []


def test_a_record_without_what_it_needs_is_refused(admin: Client) -> None:
    made = _made(admin, "account", name="Acme")
    for reply in (
        admin.post("/v1/records/account", json={"fields": {"domain": "acme.example"}}),
        admin.patch(f"/v1/records/account/{made['id']}", json={"fields": {"name": None}}),
    ):
        assert (reply.status_code, reply.json()["code"]) == (422, "required_missing")


def test_an_update_sets_what_is_named_and_blanks_with_null(admin: Client) -> None:
    made = _made(admin)
    path = f"/v1/records/contact/{made['id']}"
    changed = admin.patch(path, json={"fields": {"email": None, "title": "Countess"}, "custom_fields": {"a": 1}}).json()
    assert changed["fields"] == {"last_name": "Lovelace", "first_name": "Ada", "title": "Countess"}
    assert (changed["version"], changed["custom_fields"]) == (2, {"a": 1})
    assert admin.patch(path, json={"custom_fields": {"a": None}}).json()["custom_fields"] == {}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_of_what_was_read_before_somebody_elses_is_refused(admin: Client, method: str) -> None:
    made = _made(admin)
    path, stale = f"/v1/records/contact/{made['id']}", {"If-Match": '"1"'}
    assert admin.patch(path, json={"fields": {"title": "Countess"}}, headers=stale).status_code == 200
    body = {"json": {"fields": {"title": "Duchess"}}} if method == "PATCH" else {}
    reply = admin.request(method, path, headers=stale, **body)  # type: ignore[arg-type]
    assert (reply.status_code, reply.json()["code"], reply.headers["etag"]) == (412, "record_changed", '"2"')
    assert admin.get(path).json()["fields"]["title"] == "Countess"
    assert admin.request(method, path, headers={"If-Match": '"2"'}, **body).is_success  # type: ignore[arg-type]


def test_a_deleted_record_is_gone_and_comes_back_as_it_was(admin: Client) -> None:
    made = _made(admin)
    path = f"/v1/records/contact/{made['id']}"
    assert admin.delete(path).status_code == 204
    assert (admin.get(path).status_code, admin.delete(path).status_code) == (410, 404)
    assert admin.post(f"{path}/restore").json()["fields"] == made["fields"]
    assert admin.get(path).status_code == 200


def test_a_merged_record_leads_to_its_survivor(admin: Client, db: Database, tenant_id: UUID) -> None:
    survivor, loser = _made(admin), str(new_id())
    with db.tenant(tenant_id) as conn:
        conn.execute(
            text("INSERT INTO redirect (tenant_id, entity, from_id, to_id) VALUES (:t, 'contact', :f, :to)"),
            {"t": tenant_id, "f": loser, "to": survivor["id"]},
        )
    assert admin.get(f"/v1/records/contact/{loser}").json()["id"] == survivor["id"]


def test_pages_hold_every_record_once_in_either_order(admin: Client) -> None:
    made = [_made(admin, last_name=f"Name {n}")["id"] for n in range(7)]
    admin.patch(f"/v1/records/contact/{made[0]}", json={"fields": {"title": "changed last"}})
    for order, wanted in (("id", made), ("updated", [*made[1:], made[0]])):
        seen: list[str] = []
        params: dict[str, Any] = {"limit": 3, "order": order}
        while True:
            page = admin.get("/v1/records/contact", params=params).json()
            seen += [r["id"] for r in page["items"]]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
        assert seen == wanted


def test_lists_are_filtered_by_what_is_indexed_and_by_nothing_else(admin: Client) -> None:
    made = _made(admin)
    _made(admin, last_name="Babbage")
    found = admin.get("/v1/records/contact", params={"email": "ada@acme.example"}).json()["items"]
    assert [r["id"] for r in found] == [made["id"]]
    refused = admin.get("/v1/records/contact", params={"title": "Countess"})
    assert (refused.status_code, refused.json()["code"]) == (422, "no_filter")
    assert admin.get("/v1/records/contact", params={"account_id": "x"}).json()["code"] == "bad_value"
    since = {"updated_since": "2100-01-01T00:00:00Z"}
    assert admin.get("/v1/records/contact", params=since).json()["items"] == []


@pytest.mark.parametrize("q", ["lovelace", "LOVE", "ada love", "love ada", "ada@acme", "Lovelace"])
def test_search_finds_by_the_beginning_of_words_in_any_case(admin: Client, q: str) -> None:
    made = _made(admin)
    _made(admin, last_name="Lovell", first_name="Bob")
    found = [r["id"] for r in admin.get("/v1/records/contact/search", params={"q": q}).json()]
    assert made["id"] in found
    assert len(found) == (2 if q == "LOVE" else 1)


@pytest.mark.parametrize("q", ["%", "_ovelace", "'; DROP TABLE crm_contact; --", "nobody", "ada byron"])
def test_search_takes_words_as_they_are(admin: Client, q: str) -> None:
    _made(admin)
    assert admin.get("/v1/records/contact/search", params={"q": q}).json() == []


def test_bulk_does_and_refuses_each_by_itself(admin: Client) -> None:
    made = _made(admin)
    operations = [
        {"op": "create", "fields": {"last_name": "Babbage"}},
        {"op": "create", "fields": {"email": "nothing"}},
        {"op": "update", "id": made["id"], "fields": {"title": "Countess"}},
        {"op": "update", "id": str(new_id()), "fields": {"title": "Nobody"}},
        {"op": "update", "fields": {"title": "Nobody"}},
        {"op": "delete", "id": made["id"]},
    ]
    outcomes = admin.post("/v1/records/contact/bulk", json={"operations": operations}).json()
    assert [o["status"] for o in outcomes] == [201, 422, 200, 404, 422, 204]
    assert [o["error"]["code"] for o in outcomes if o["error"]] == [
        "not_an_email",
        "no_such_record",
        "invalid_request",
    ]
    assert [r["fields"]["last_name"] for r in admin.get("/v1/records/contact").json()["items"]] == ["Babbage"]


def test_history_and_explanation_tell_who_changed_what(admin: Client, db: Database, tenant_id: UUID) -> None:
    made = _made(admin)
    path = f"/v1/records/contact/{made['id']}"
    for title in ("Countess", "Duchess"):
        admin.patch(path, json={"fields": {"title": title}})
    first = admin.get(f"{path}/history", params={"limit": 1}).json()
    second = admin.get(f"{path}/history", params={"limit": 1, "cursor": first["next"]}).json()
    told = [(c["field"], c["old"], c["new"], c["origin"]) for p in (first, second) for c in p["items"]]
    assert told == [("title", "Countess", "Duchess", "hub"), ("title", None, "Countess", "hub")]
    explained = admin.get(f"{path}/explain").json()
    assert [f["value"] for f in explained["fields"] if f["field"] == "title"] == ["Duchess"]
    sought = admin.get("/v1/records/contact/explain", params={"sought": "ada@acme.example"}).json()
    assert [r["entity_id"] for r in sought["records"]] == [made["id"]]
    with db.tenant(tenant_id) as conn:
        assert [e.action for e in audit.entries(conn)] == ["record.create", "record.update", "record.update"]


def test_why_there_is_no_record_is_told(admin: Client) -> None:
    told = admin.get("/v1/records/contact/explain", params={"sought": "nobody@acme.example"}).json()
    assert (told["records"], bool(told["unknown"]["reasons"])) == ([], True)


def test_another_tenants_records_are_not_there(as_: As, admin: Client, other_tenant_id: UUID) -> None:
    made = _made(admin)
    stranger = as_("tenant_admin", other_tenant_id)
    path = f"/v1/records/contact/{made['id']}"
    body = {"json": {"fields": {"title": "x"}}}
    asked = [
        stranger.get(path), stranger.patch(path, **body), stranger.delete(path), stranger.get(f"{path}/history"),
        stranger.get(f"{path}/explain"), stranger.post(f"{path}/restore"),
    ]  # fmt: skip
    assert {r.status_code for r in asked} == {404}
    assert stranger.get("/v1/records/contact").json()["items"] == []
    assert stranger.get("/v1/records/contact/search", params={"q": "love"}).json() == []
    borrowed = stranger.post("/v1/records/contact", json={"fields": {"last_name": "L", "reports_to_id": made["id"]}})
    assert borrowed.json()["code"] == "reference_missing"


@pytest.mark.parametrize("entity", ["nobody", "contact;", "crm_contact", "constructor"])
def test_an_unknown_kind_of_record_is_not_there(admin: Client, entity: str) -> None:
    assert admin.get(f"/v1/records/{entity}").json()["code"] == "no_such_entity"
    assert admin.post(f"/v1/records/{entity}", json={"fields": {}}).status_code == 404


def test_a_reader_writes_nothing(as_: As) -> None:
    reader = as_("read_only")
    assert reader.post("/v1/records/contact", json={"fields": ADA}).status_code == 403
    assert reader.get("/v1/records/contact").status_code == 200


def test_a_contact_has_accounts_and_a_sale_has_contacts(admin: Client) -> None:
    one, two = sorted(_made(admin, "account", name=name)["id"] for name in ("One", "Two"))
    ada = _made(admin, last_name="Lovelace", account_ids=[two, one, two])
    assert (ada["fields"]["account_id"], ada["fields"]["account_ids"]) == (one, [one, two])
    path = f"/v1/records/contact/{ada['id']}"
    moved = admin.patch(path, json={"fields": {"account_id": two}}).json()["fields"]
    assert (moved["account_id"], moved["account_ids"]) == (two, [one, two])
    assert admin.get(path).json()["fields"] == moved
    assert admin.get("/v1/records/contact", params={"account_id": two}).json()["items"][0]["fields"] == moved
    assert admin.get("/v1/records/contact/search", params={"q": "lovelace"}).json()[0]["fields"] == moved
    told = {f["field"]: f["value"] for f in admin.get(f"{path}/explain").json()["fields"]}
    assert told["account_ids"] == [one, two]
    sale = _made(admin, "opportunity", name="Sale", contact_ids=[ada["id"]])
    assert sale["fields"]["contact_ids"] == [ada["id"]]
    assert "contact_id" not in sale["fields"], "a sale need not have a primary contact"
    left = admin.patch(path, json={"fields": {"account_ids": []}}).json()["fields"]
    assert not left.keys() & {"account_id", "account_ids"}


def test_lists_of_records_stand_among_the_fields_of_an_entity(admin: Client) -> None:
    known = {e["name"]: {f["name"]: f for f in e["fields"]} for e in admin.get("/v1/entities").json()}
    told = known["contact"]["account_ids"]
    assert (told["kind"], told["refers_to"], told["filter"]) == ("references", "account", False)
    assert known["opportunity"]["contact_ids"]["refers_to"] == "contact"


def test_entities_tell_their_fields(admin: Client) -> None:
    contact = next(e for e in admin.get("/v1/entities").json() if e["name"] == "contact")
    assert {f["name"] for f in contact["fields"] if f["filter"]} == {
        "email", "phone", "last_name", "account_id", "reports_to_id", "owner_id",
    }  # fmt: skip
