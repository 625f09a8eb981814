"""The vendor's most used Python library against the running org: it must not be able to tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceMalformedRequest

from sandbox.salesforce.server import SandboxServer
from tests.sandbox.salesforce.helpers import LocalSession


def test_soap_login_opens_a_session(sf: Salesforce) -> None:
    assert sf.query("SELECT IsSandbox FROM Organization")["totalSize"] == 1
    assert sf.api_usage["api-usage"].total == 100_000


def test_a_wrong_password_is_refused_in_the_vendors_words(server: SandboxServer) -> None:
    with pytest.raises(
        SalesforceAuthenticationFailed, match=r"INVALID_LOGIN.*Invalid username, password, security token"
    ):
        Salesforce(
            username=server.credentials.username, password="no", security_token="", session=LocalSession(server.url)
        )


def test_query_all_reads_every_page_in_the_fewest_calls(sf: Salesforce, server: SandboxServer) -> None:
    server.sandbox.journal.clear()
    found = sf.query_all("SELECT Id, SystemModstamp FROM Contact ORDER BY SystemModstamp, Id")["records"]
    assert len(found) == sf.query("SELECT COUNT() FROM Contact")["totalSize"] > 2000
    assert server.sandbox.journal.kinds == {"query": 2, "query_more": 1}
    keys = [(r["SystemModstamp"], r["Id"]) for r in found]
    assert keys == sorted(keys)
    assert len({r["Id"] for r in found}) == len(found)


def test_an_expired_session_is_renewed_by_the_library_itself(sf: Salesforce, server: SandboxServer) -> None:
    server.sandbox.auth.expire_all()
    assert sf.query("SELECT Id FROM User LIMIT 1")["totalSize"] == 1


def test_describe_tells_types_and_relations(sf: Salesforce) -> None:
    fields = {f["name"]: f for f in sf.Task.describe()["fields"]}
    assert fields["WhoId"]["referenceTo"] == ["Contact", "Lead"]
    assert fields["WhoId"]["polymorphicForeignKey"] is True
    assert fields["OwnerId"]["referenceTo"] == ["Group", "User"]
    names = {o["name"] for o in sf.describe()["sobjects"]}
    assert {"Account", "Contact", "Property__c", "ContentVersion"} <= names


def test_a_broken_query_says_where(sf: Salesforce) -> None:
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.query("SELECT Nope FROM Account")
    error = refused.value.content[0]
    assert error["errorCode"] == "INVALID_FIELD"
    assert "ERROR at Row:1:Column:8\nNo such column 'Nope' on entity 'Account'" in error["message"]


def test_two_sign_ins_are_two_sessions(connect: Callable[[], Salesforce]) -> None:
    assert connect().session_id != connect().session_id
