"""E-mails: engagements of their own in HubSpot, tasks of a subtype in Salesforce, communications in the hub."""

from __future__ import annotations

from typing import Any

import pytest

from tests.syncing.conftest import Both
from tests.syncing.test_activities import here, there

SENT = {
    "hs_timestamp": "2031-02-03T14:30:00Z",
    "hs_email_subject": "Your quote",
    "hs_email_html": "<p>Dear <b>Zappa</b></p>",
    "hs_email_direction": "EMAIL",
    "hs_email_status": "SENT",
}


@pytest.fixture
def mail(both: Both) -> Both:
    """One person whom both know; tasks and e-mails are kept in step, and there are none yet."""
    for name in ("Task", "Contact"):
        for row in both.salesforce.sandbox.org.live(name):
            both.edit("salesforce", object=name, id=row["Id"], delete=True)
    for kind in ("tasks", "emails", "contacts"):
        for record in list(both.hubspot.portal.live(kind)):
            both.edit("hubspot", object=kind, id=record.id, delete=True)
    both.edit("salesforce", object="Contact", properties={"LastName": "Zappa", "Email": "zappa@example.org"})
    both.add("org", "--object", "Contact", "--object", "Task", "--object", "EmailTask")
    both.add("portal", "--object", "contacts", "--object", "tasks", "--object", "emails", "--make-key-field")
    both.sync()
    return both


def tasks(both: Both) -> list[Any]:
    return list(both.salesforce.sandbox.org.live("Task"))


def test_an_email_of_hubspot_is_logged_in_salesforce_and_edited_from_both_sides(mail: Both) -> None:
    person, contact = mail.ids("contact", "zappa@example.org")
    email = mail.edit("hubspot", object="emails", properties=SENT)["id"]
    mail.link_in_hubspot("emails", email, "contacts", contact)
    mail.sync()
    (row,) = tasks(mail)
    assert (row["TaskSubtype"], row["Status"], row["WhoId"]) == ("Email", "Completed", person)
    assert (row["Subject"], row["Description"], row["ActivityDate"]) == ("Your quote", "Dear Zappa", "2031-02-03")
    assert mail.hubspot.portal.live("tasks") == [], "it is an e-mail there, and no task besides"
    mail.assert_silent()
    assert there(mail, "emails", email)["hs_timestamp"].startswith("2031-02-03T14:30:00"), (
        "a day says nothing of the hour"
    )

    mail.edit(
        "hubspot", object="emails", id=email, properties={"hs_email_subject": "Our quote", "hs_email_html": "<p>Hi</p>"}
    )
    mail.sync()
    assert (tasks(mail)[0]["Subject"], tasks(mail)[0]["Description"]) == ("Our quote", "Hi")
    mail.edit(
        "salesforce", object="Task", id=row["Id"], properties={"Description": "one\ntwo", "ActivityDate": "2031-02-05"}
    )
    mail.sync()
    found = there(mail, "emails", email)
    assert (found["hs_email_html"], found["hs_timestamp"][:10]) == ("one<br>two", "2031-02-05")
    assert (found["hs_email_direction"], found["hs_email_status"]) == ("EMAIL", "SENT")
    mail.assert_silent()
    assert mail.told("communication", email, "emails")["conflicts"] == []
    mail.edit("hubspot", object="emails", id=email, delete=True)
    mail.sync()
    assert tasks(mail) == []
    assert mail.letters() == []


def test_an_email_logged_in_salesforce_arrives_in_hubspot_and_a_task_beside_it_stays_a_task(mail: Both) -> None:
    person, contact = mail.ids("contact", "zappa@example.org")
    logged = {"Subject": "Re: quote", "Description": "Fine", "Status": "Completed", "WhoId": person}
    email = mail.edit("salesforce", object="Task", properties={**logged, "TaskSubtype": "Email"})["id"]
    plain = mail.edit("salesforce", object="Task", properties={"Subject": "Call back", "WhoId": person})["id"]
    mail.sync()
    copied = mail.ids("communication", email, "EmailTask")[1]
    found = there(mail, "emails", copied)
    assert (found["hs_email_subject"], found["hs_email_html"]) == ("Re: quote", "Fine")
    assert found["hs_timestamp"], "an e-mail without a day is placed at the moment at which it was logged"
    assert list(mail.hubspot.portal.associations.targets("emails", copied, "contacts")) == [contact]
    assert [t.values["hs_task_subject"] for t in mail.hubspot.portal.live("tasks")] == ["Call back"]
    assert len(list(mail.hubspot.portal.live("emails"))) == 1
    mail.assert_silent()
    mail.edit("salesforce", object="Task", id=email, delete=True)
    mail.sync()
    assert there(mail, "emails", copied) == {}
    assert here(mail, "Task", plain).get("IsDeleted") is not True
    assert mail.letters() == []


def test_a_long_email_is_cut_in_salesforce_and_whole_everywhere_else(mail: Both) -> None:
    body, subject = "word " * 8_000, "Long " * 60
    email = mail.edit(
        "hubspot", object="emails", properties={**SENT, "hs_email_html": body, "hs_email_subject": subject}
    )["id"]
    mail.sync()
    (row,) = tasks(mail)
    assert 31_990 < len(row["Description"]) <= 32_000
    assert row["Description"].endswith("…")
    assert 240 < len(row["Subject"]) <= 255
    mail.assert_silent()
    assert len(there(mail, "emails", email)["hs_email_html"]) >= len(body.strip())
    assert mail.letters() == []
