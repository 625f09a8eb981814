"""What an account is set up with: owners, pipelines, stages, lists and their members, files.

These are read whole each time: there are few of them, and HubSpot tells no changes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from connectors.hubspot.objects import FILES, LISTS, MEMBERSHIPS, OWNERS, PAGE_SIZE, PIPELINES, STAGES
from connectors.hubspot.portal import Portal

Record = dict[str, Any]
LISTS_PER_PAGE = 500
MEMBERS_PER_PAGE = 250


def listing(portal: Portal, name: str, after: str | None) -> Iterator[tuple[list[Record], str | None]]:
    """Pages of a set-up object with the token of the page that follows; None on the last."""
    if name == OWNERS:
        yield [r for archived in (False, True) for r in _owners(portal, archived)], None
    elif name in PIPELINES:
        yield [_pipeline(p, n) for n, p in enumerate(_pipelines(portal, PIPELINES[name]))], None
    elif name in STAGES:
        pipelines = _pipelines(portal, STAGES[name])
        yield [_stage(p, s) for p in pipelines for s in p.get("stages") or ()], None
    elif name == LISTS:
        yield from _lists(portal, after)
    elif name == MEMBERSHIPS:
        yield from _members(portal, after)
    elif name == FILES:
        yield from _files(portal, after)


def _owners(portal: Portal, archived: bool) -> Iterator[Record]:
    """https://developers.hubspot.com/docs/guides/api/crm/owners; archived ones still own records."""
    after: str | None = None
    while True:
        page = portal.sdk("crm.owners.owners_api", partial(_owners_page, archived=archived, after=after))
        for owner in page["results"]:
            names = (owner.get("firstName"), owner.get("lastName"))
            full = " ".join(part for part in names if part) or owner.get("email") or str(owner["id"])
            yield {**owner, "id": str(owner["id"]), "fullName": full, "isActive": not archived}
        after = next_token(page)
        if after is None:
            return


def _owners_page(api: Any, archived: bool, after: str | None) -> Any:
    return api.get_page(limit=100, archived=archived, _preload_content=False, **_after(after))


def _after(token: str | None) -> dict[str, str]:
    return {"after": token} if token else {}


def _pipelines(portal: Portal, kind: str) -> list[Record]:
    """https://developers.hubspot.com/docs/guides/api/crm/pipelines"""
    reply = portal.sdk("crm.pipelines.pipelines_api", lambda api: api.get_all(kind, _preload_content=False))
    results: list[Record] = sorted(reply["results"], key=lambda p: (p.get("displayOrder", 0), str(p["id"])))
    return results


def _pipeline(pipeline: Record, number: int) -> Record:
    return {**pipeline, "id": str(pipeline["id"]), "isDefault": number == 0}


def _stage(pipeline: Mapping[str, Any], stage: Record) -> Record:
    """A deal stage is won at probability 1 and lost at 0 when it is closed; a ticket stage says OPEN or CLOSED."""
    meta = stage.get("metadata") or {}
    closed = str(meta.get("isClosed", "")).lower() == "true" or meta.get("ticketState") == "CLOSED"
    probability = meta.get("probability")
    won = closed and probability is not None and float(probability) == 1.0
    return {
        **stage,
        "id": str(stage["id"]),
        "stageId": str(stage["id"]),
        "pipelineId": str(pipeline["id"]),
        "probability": probability,
        "isWon": won,
        "isClosed": closed,
    }


def _lists(portal: Portal, after: str | None) -> Iterator[tuple[list[Record], str | None]]:
    """https://developers.hubspot.com/docs/guides/api/crm/lists/overview"""
    offset = int(after or 0)
    while True:
        page = portal.ask("/crm/v3/lists/search", {"count": LISTS_PER_PAGE, "offset": offset, "query": ""})
        offset += len(page["lists"])
        more = bool(page.get("hasMore")) and bool(page["lists"])
        yield [{**entry, "listId": str(entry["listId"])} for entry in page["lists"]], str(offset) if more else None
        if not more:
            return


def _members(portal: Portal, after: str | None) -> Iterator[tuple[list[Record], str | None]]:
    """Members of all lists, list by list in the order of their ids. The token names the list and the place in it."""
    lists = sorted((entry for page, _ in _lists(portal, None) for entry in page), key=lambda e: int(e["listId"]))
    at, _, place = (after or "0:").partition(":")
    rest = [entry for entry in lists if int(entry["listId"]) >= int(at)]
    if not rest:
        yield [], None
    for number, entry in enumerate(rest):
        list_id = str(entry["listId"])
        token: str | None = place if list_id == at and place else None
        while True:
            params = {"limit": MEMBERS_PER_PAGE, **_after(token)}
            page = portal.get(f"/crm/v3/lists/{list_id}/memberships", params)
            token = next_token(page)
            following = rest[number + 1]["listId"] if number + 1 < len(rest) else None
            resume = f"{list_id}:{token}" if token else f"{following}:" if following else None
            yield [_member(entry, row) for row in page["results"]], resume
            if token is None:
                break


def _member(entry: Record, row: Record) -> Record:
    record_id, list_id = str(row["recordId"]), str(entry["listId"])
    return {
        "id": f"{list_id}:{record_id}",
        "list_id": list_id,
        "record_id": record_id,
        "objectTypeId": entry.get("objectTypeId"),
        "membershipTimestamp": row.get("membershipTimestamp"),
    }


def _files(portal: Portal, after: str | None) -> Iterator[tuple[list[Record], str | None]]:
    """https://developers.hubspot.com/docs/guides/api/library/files"""
    while True:
        page = portal.get("/files/v3/files/search", {"limit": PAGE_SIZE, "sort": "id", **_after(after)})
        after = next_token(page)
        yield [file_record(entry) for entry in page["results"]], after
        if after is None:
            return


def file_record(entry: Record) -> Record:
    """A file's facts; its name with the extension as ``fileName``."""
    name, extension = str(entry.get("name") or entry["id"]), str(entry.get("extension") or "")
    dotted = f".{extension}"
    full = name if not extension or name.lower().endswith(dotted.lower()) else name + dotted
    return {**entry, "id": str(entry["id"]), "fileName": full}


def next_token(page: Mapping[str, Any]) -> str | None:
    """HubSpot's token of the following page; None on the last."""
    token = ((page.get("paging") or {}).get("next") or {}).get("after")
    return str(token) if token else None
