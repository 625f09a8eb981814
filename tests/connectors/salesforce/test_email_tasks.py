"""E-mails that are logged as tasks: an object that Salesforce itself does not have."""

from __future__ import annotations

from connectors.kit.contract import ReadRequest
from connectors.salesforce.connector import SalesforceConnector
from domain.records import Outgoing
from sandbox.salesforce.server import SandboxServer

EMAIL = "EmailTask"


def logged(server: SandboxServer, subtype: str | None) -> str:
    values = {"Subject": f"A {subtype}", "Status": "Completed", **({"TaskSubtype": subtype} if subtype else {})}
    return str(server.sandbox.edit({"object": "Task", "properties": values})["id"])


def listed(salesforce: SalesforceConnector, name: str) -> set[str]:
    pages = list(salesforce.read(ReadRequest(name, ("Id", "Subject"))))
    assert {page.object for page in pages} == {name}
    return {str(row[0]) for page in pages for row in page.rows}


def test_emails_are_listed_apart_from_tasks(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    before = listed(salesforce, "Task")
    emails = {logged(server, "Email"), logged(server, "ListEmail")}
    others = {logged(server, "Call"), logged(server, None)}
    assert (listed(salesforce, EMAIL), listed(salesforce, "Task")) == (emails, before | others)
    assert salesforce.count([EMAIL, "Task"]) == {EMAIL: 2, "Task": len(before) + 2}
    assert {i for page in salesforce.versions(EMAIL) for i in page.ids} == emails
    (page,) = salesforce.read(ReadRequest("Task", ("Id",), ids=tuple(sorted(emails | others))))
    assert {row[0] for row in page.rows} == others
    assert salesforce.describe([EMAIL]).objects[EMAIL].name == EMAIL


def test_a_new_email_is_a_completed_task_of_its_subtype_and_an_edit_says_nothing_of_that(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    (made,) = salesforce.upsert(EMAIL, [Outgoing("k", {"Subject": "Hello"})])
    row = server.sandbox.org.get("Task", made.vendor_id or "")
    assert row is not None
    assert (row["TaskSubtype"], row["Status"], row["Subject"]) == ("Email", "Completed", "Hello")
    server.sandbox.edit({"object": "Task", "id": row["Id"], "properties": {"Status": "In Progress"}})
    (done,) = salesforce.upsert(EMAIL, [Outgoing("k", {"Subject": "Bye"}, row["Id"])])
    assert done.error is None
    assert (row["Status"], row["Subject"]) == ("In Progress", "Bye")
    (gone,) = salesforce.delete(EMAIL, [row["Id"]])
    assert gone.error is None
    assert row["IsDeleted"]
