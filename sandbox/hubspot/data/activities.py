"""Notes, calls, e-mails, meetings and tasks with what is attached to them; lists."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.data.seeder import END, Seeder
from sandbox.hubspot.lists import RecordList
from sandbox.hubspot.records import Record
from sandbox.hubspot.times import iso, parse_ms
from sandbox.kit import words

_KINDS = ("notes", "calls", "emails", "meetings", "tasks")
_TICKET_EVERY = 17
MINUTE_MS = 60_000


def activities(
    seed: Seeder, count: int, people: list[Record], sales: list[Record], cases: list[Record]
) -> list[Record]:
    """The notes among them. Each belongs to a contact, most to its company, many to a deal, a few to a ticket."""
    notes = []
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        made = seed.put(kind, _BODIES[kind](seed) | {"hubspot_owner_id": seed.owner()})
        person = seed.pick(people)
        seed.link(kind, made, "contacts", person)
        company = person.values.get("associatedcompanyid")
        if company and not seed.one_in(4):
            seed.link(kind, made, "companies", seed.portal.tables["companies"][company])
        if sales and seed.one_in(3):
            seed.link(kind, made, "deals", seed.pick(sales))
        if cases and number % _TICKET_EVERY == 0:
            seed.link(kind, made, "tickets", seed.pick(cases))
        if kind == "notes":
            notes.append(made)
    return notes


def _note(seed: Seeder) -> dict[str, Any]:
    return {"hs_timestamp": seed.moment(ahead=0), "hs_note_body": seed.html()}


def _call(seed: Seeder) -> dict[str, Any]:
    return {
        "hs_timestamp": seed.moment(ahead=0),
        "hs_call_title": seed.pick(words.SUBJECTS),
        "hs_call_body": seed.html(),
        "hs_call_duration": int(seed.rng.random() * 3_600_000),
        "hs_call_direction": seed.pick(("INBOUND", "OUTBOUND")),
        "hs_call_status": seed.pick(("COMPLETED", "NO_ANSWER", "BUSY")),
        "hs_call_disposition": seed.pick(
            ("f240bbac-87c9-4f6e-bf70-924b57d47db7", "b2cf5968-551e-4856-9783-52b3da59a7d0", "")
        ),
        "hs_call_from_number": seed.phone(),
        "hs_call_to_number": seed.phone(),
    }


def _email(seed: Seeder) -> dict[str, Any]:
    return {
        "hs_timestamp": seed.moment(ahead=0),
        "hs_email_subject": seed.pick(words.SUBJECTS),
        "hs_email_html": seed.html(),
        "hs_email_text": seed.pick(words.TEXTS),
        "hs_email_direction": seed.pick(("EMAIL", "INCOMING_EMAIL", "FORWARDED_EMAIL")),
        "hs_email_status": seed.pick(("SENT", "SENT", "BOUNCED")),
    }


def _meeting(seed: Seeder) -> dict[str, Any]:
    start = seed.moment(ahead=90)
    end = iso(parse_ms(start) + int(seed.pick((15, 30, 60, 90))) * MINUTE_MS)
    return {
        "hs_timestamp": start,
        "hs_meeting_title": seed.pick(words.SUBJECTS),
        "hs_meeting_body": seed.html(),
        "hs_meeting_start_time": start,
        "hs_meeting_end_time": end,
        "hs_meeting_location": seed.pick(("Room 1", "https://meet.example/abc", "")),
        "hs_meeting_outcome": seed.pick(("SCHEDULED", "COMPLETED", "NO_SHOW", "CANCELED", "")),
    }


def _task(seed: Seeder) -> dict[str, Any]:
    return {
        "hs_timestamp": seed.moment(),
        "hs_task_subject": seed.pick(words.SUBJECTS),
        "hs_task_body": seed.html(),
        "hs_task_status": seed.pick(("NOT_STARTED", "IN_PROGRESS", "COMPLETED", "DEFERRED")),
        "hs_task_priority": seed.pick(("NONE", "LOW", "HIGH")),
        "hs_task_type": seed.pick(("TODO", "CALL", "EMAIL")),
    }


_BODIES = {"notes": _note, "calls": _call, "emails": _email, "meetings": _meeting, "tasks": _task}
_ATTACHMENTS = (
    ("contract.pdf", b"%PDF-1.4 sample\n"),
    ("Lageplan Süd.png", b"\x89PNG\r\n\x1a\n sample"),
    ("minutes.txt", "Grüße\n".encode()),
)


def attachments(seed: Seeder, notes: list[Record], count: int) -> None:
    """Files on the first notes; the last of them is on two notes, and one note has two files."""
    for number in range(min(count, len(notes))):
        name, content = seed.pick(_ATTACHMENTS)
        file_id = seed.portal.counters.next("files")
        seed.portal.files.put(
            file_id,
            name,
            content + str(number).encode(),
            folder="/attachments",
            access="PRIVATE",
            at=END - number * MINUTE_MS,
        )
        for note in (notes[number], *([notes[0]] if number == min(count, len(notes)) - 1 and number else ())):
            held = [v for v in (note.values.get("hs_attachment_ids", ""), file_id) if v]
            seed.compute("notes", note, hs_attachment_ids=";".join(held))


def lists(seed: Seeder, people: list[Record]) -> None:
    """One kept by hand, one that the vendor fills with customers."""
    customers = [p.id for p in people if p.values.get("lifecyclestage") == "customer"]
    for name, kind, ids in (
        ("Trade fair 2024", "MANUAL", [p.id for p in people[::9]]),
        ("Customers", "DYNAMIC", customers),
    ):
        made = RecordList(seed.portal.counters.next("lists", 1), name, "0-1", kind, END)
        made.members = dict.fromkeys(ids, END)
        seed.portal.lists[made.id] = made
