"""Results on a screen: the numbers that matter are there, and text of the data is never taken for markup."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from cli import show
from domain.errors import ConfigurationError
from domain.ids import new_id
from migration.audit_model import Audit, DuplicateAudit, Estimate, FieldAudit, ObjectAudit, OrphanAudit, UnreadObject
from migration.certificate import Certificate, ObjectCertificate
from migration.dry_run import Diff, ObjectPreview
from migration.ledger import ObjectLedger
from migration.service import DryRun, RunResult, RunStatus
from migration.undo import UndoResult
from storage.certify import Finding, Findings
from storage.runs import Run
from storage.undoing import Kept

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
RUN = UUID("0192a0b0-0000-7000-8000-000000000001")


def seen(parts: Iterable[Any]) -> str:
    console = Console(file=io.StringIO(), width=220)
    for part in parts:
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def ledger(**numbers: Any) -> ObjectLedger:
    return ObjectLedger("Contact", "contact", **numbers)


def certified(**values: Any) -> Certificate:
    row = ObjectCertificate("Contact", "contact", source=10, vendor_count=10, created=7, merged=2, rejected=1)
    return Certificate(RUN, "salesforce", "00D", "c0ffee", AT, AT, (row,), **values)


def test_a_run_shows_ledger_reasons_and_verdict() -> None:
    row = ledger(listed=10, created=7, merged=2, rejected=1, rejects=Counter({"acme_says_no": 1}),
                 warnings=Counter({"not_an_email": 3, "reference_missing:account_id": 2}))  # fmt: skip
    text = seen(show.run(RunResult(RUN, {"Contact": row}, certified(), seconds=61)))
    assert str(RUN)[:13] in text
    assert "acme_says_no" in text
    assert "The value is no e-mail address" in text
    assert "account_id: The record that is referred to does not exist" in text
    assert "Done in 1 min 1 s." in text
    assert "Nothing was lost" in text


def test_a_ledger_that_does_not_add_up_says_so() -> None:
    assert " no" in seen([show.ledger([ledger(listed=10, created=7)])])
    assert " yes" in seen([show.ledger([ledger(listed=7, created=7)])])


def test_a_certificate_lists_differences() -> None:
    finding = Finding("changed_value", "Contact", "003A", None, "email", "a@x.example", "b@x.example")
    text = seen(show.certificate(certified(differences=Findings(25, (finding,) * 25), by_kind={"changed_value": 25})))
    assert "Differences: 25, 5 more with --json" in text
    assert "changed values" in text
    assert "003A" in text
    assert "25 differences" in text


def test_a_dry_run_shows_samples() -> None:
    preview = ObjectPreview(
        ledger(listed=3, created=1, merged=1, updated=1),
        diffs=[Diff("003B", "id", "updated", {"email": (None, "[red]x@y.example")})],
        merges=[("003C", "003A", "email, last_name")],
        unresolved={"account_id": 4},
    )
    text = seen(show.dry_run(DryRun({"Contact": preview})))
    assert "nothing was written" in text
    assert "email: – → [red]x@y.example" in text
    assert "003C" in text
    assert "account_id" in text


def stored_run(**values: Any) -> Run:
    facts: dict[str, Any] = {
        "id": RUN, "connection_id": new_id(), "kind": "run", "status": "running", "phase": "transactions", "at": AT,
        "started_at": AT, "finished_at": None, "plan_checksum": "c", "plan": {}, "options": {}, "totals": {}, "error": None,
        "certificate": None, "generation": 1,
    }  # fmt: skip
    return Run(**{**facts, **values})


@pytest.mark.parametrize(
    ("alive", "status", "expected"),
    [
        (True, "running", "running (transactions)"),
        (False, "running", "interrupted (transactions)"),
        (False, "done", "done"),
    ],
)
def test_runs_show_whether_somebody_works_on_them(alive: bool, status: str, expected: str) -> None:
    state = RunStatus(stored_run(status=status), "head-office", {"Contact": ledger(listed=5, created=5)}, alive)
    text = seen(show.runs([state]))
    assert expected in text
    assert "head-office" in text
    assert str(RUN)[:13] in text


def test_a_failed_run_shows_why() -> None:
    state = RunStatus(stored_run(status="failed", error={"message": "The disk is full."}), "x", {}, False)
    assert "The disk is full." in seen(show.runs([state]))


def test_no_runs_say_how_to_begin() -> None:
    assert "syncline migrate audit" in seen(show.runs([]))


def test_undo_shows_what_it_kept_and_why() -> None:
    kept = Kept("contact", new_id(), "003A", "edited since the run")
    text = seen(show.undo(UndoResult(RUN, {"contact": 9}, {"account": 1}, {}, [kept], kept_total=1)))
    assert "edited since the run" in text
    assert "--force" in text
    assert "Nothing was kept back." in seen(show.undo(UndoResult(RUN, {"contact": 9})))


def test_an_audit_shows_objects_findings_and_cost() -> None:
    contact = ObjectAudit(
        "Contact", entity="contact", count=1_000, rejects=2,
        fields=(FieldAudit("[Email]", kind=_text(), records=1_000, filled=900, distinct=880),),
        duplicates=(DuplicateAudit(("email", "last_name"), 40, 100), DuplicateAudit(("name",), 1, 2)),
        orphans=(OrphanAudit("AccountId", ("Account",), 900, 7, 3),),
        problems={"bad_email": 12}, oldest=AT, newest=AT, estimate=Estimate(5, 90.0),
    )  # fmt: skip
    found = Audit("salesforce", "00D", AT, "f", (contact,), unread=(UnreadObject("Secret__c", "No permission."),),
                  display_name="Head office")  # fmt: skip
    text = seen(show.audit(found))
    assert "Head office" in text
    assert "100 records in 40 groups agree on email, last_name" in text
    assert "2 records in 1 group agree on name" in text
    assert "1,000 records in 1 object." in text
    assert "7 of 900 AccountId lead to no record" in text
    assert "12 records: bad_email" in text
    assert "[Email]" in text
    assert "90%" in text
    assert "Secret__c: No permission." in text
    assert "1 min 30 s and 5 calls" in text


def _text() -> Any:
    from domain.entities import Kind

    return Kind.TEXT


def test_writing_where_one_cannot_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        show.write_text("x", tmp_path / "file" / "page.html")
