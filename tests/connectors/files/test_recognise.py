"""Exports of Salesforce and HubSpot are recognised as such, with the vendor's own names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from connectors.files.recognise import base_name, checked_id, long_id, own_names, recognise
from connectors.kit.contract import ReadRequest
from domain.entities import Kind
from domain.errors import ConfigurationError, RecordRejectedError

from .support import connector, listing, write


@pytest.mark.parametrize(
    ("short", "long"), [("001D000000IqhSL", "001D000000IqhSLIAZ"), ("a0w000000000001", "a0w000000000001AAA")]
)
def test_ids_of_15_and_18_characters(short: str, long: str) -> None:
    assert long_id(short) == long
    assert checked_id(short)
    assert checked_id(long)
    assert not checked_id(long[:-1] + ("A" if long[-1] != "A" else "B"))
    assert not checked_id(short[:-1])


def ids(prefix: str, count: int) -> list[str]:
    return [long_id(f"{prefix}{n:012d}") for n in range(count)]


@pytest.mark.parametrize(
    ("stem", "columns", "id_", "dialect", "name"),
    [
        ("Contact", "Id,IsDeleted,LastName", ids("003", 1)[0], "salesforce", "Contact"),
        ("extract (1)", "ID,LASTNAME", ids("00Q", 1)[0], "salesforce", "Lead"),
        ("Property__c", "Id,Name", ids("a01", 1)[0], "salesforce", "Property__c"),
        ("people", "id,name", "1", "plain", "people"),
        ("people", "id,name", "abcdefghijklmno", "plain", "people"),
        ("people", "Id,name", "0030000000000010AA", "plain", "people"),
        ("hubspot-crm-exports-all-contacts-2024-05-01", "Record ID,First Name", "51", "hubspot", "contacts"),
        ("export", "Record ID - Company,Company name", "51", "hubspot", "companies"),
        ("export", "Record ID,Deal Name,Deal Stage", "51", "hubspot", "deals"),
        ("export", "Record ID,Color", "51", "plain", "export"),
    ],
)
def test_whose_export_it_is(stem: str, columns: str, id_: str, dialect: str, name: str) -> None:
    names = columns.split(",")
    found = recognise(stem, names, [[id_, *["x"] * (len(names) - 1)]])
    assert (found.dialect, found.object) == (dialect, name)


def test_an_empty_salesforce_file_is_known_by_its_header() -> None:
    assert recognise("Lead", ["Id", "IsDeleted", "SystemModstamp"], []).object == "Lead"
    assert base_name("Property__c_2024") == "Property__c"


def test_data_loader_headers_in_capitals_get_salesforces_names() -> None:
    names = ("ID", "LASTNAME", "ACCOUNTID", "MY_FIELD__C")
    found = recognise("extract", names, [[ids("003", 1)[0], "x", "", ""]])
    assert own_names(found, names) == ("Id", "LastName", "AccountId", "MY_FIELD__c")


def salesforce_export(folder: Path) -> Path:
    """A weekly export as Salesforce makes it: two archives, every cell quoted, bodies in folders named by object."""
    accounts, contacts, homes = ids("001", 2), ids("003", 3), ids("a05", 1)
    stamps = '"2024-01-02 03:04:05","2024-02-03 04:05:06"'
    files = ids("068", 1)
    folder.mkdir()
    with zipfile.ZipFile(folder / "WE_00D000000000001EAA_1.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "Account.csv",
            '"Id","IsDeleted","Name","CreatedDate","SystemModstamp"\r\n'
            + "".join(f'"{i}","{int(n == 1)}","Acme, {n}",{stamps}\r\n' for n, i in enumerate(accounts)),
        )
        archive.writestr(
            "Contact.csv",
            '"Id","AccountId","LastName","WhatId__c","IsDeleted"\r\n'
            + "".join(
                f'"{i}","{accounts[0]}","N{n}","{homes[0] if n else accounts[0]}","0"\r\n'
                for n, i in enumerate(contacts[:2])
            ),
        )
        archive.writestr(
            "Home__c.csv", f'"Id","Name","IsDeleted","SystemModstamp"\r\n"{homes[0]}","H","0","2024-01-01 00:00:00"\r\n'
        )
    with zipfile.ZipFile(folder / "WE_00D000000000001EAA_2.ZIP", "w") as archive:
        archive.writestr(
            "Contact.csv",
            f'"Id","AccountId","LastName","WhatId__c","IsDeleted"\r\n"{contacts[2]}","{accounts[1]}","N2","","0"\r\n',
        )
        archive.writestr(f"ContentVersion/{files[0]}", b"body" * 1000)
        archive.writestr("Attachments/00P000000000001", b"old")
    return folder  # fmt: skip


def test_a_salesforce_export_is_read_as_salesforces_objects(tmp_path: Path) -> None:
    files = connector(salesforce_export(tmp_path / "export"))
    objects = files.describe().objects
    assert {name: s.attributes["dialect_object"] for name, s in objects.items()} == {
        "Account": "Account",
        "Contact": "Contact",
        "Home__c": "Home__c",
    }
    contact, account = objects["Contact"], objects["Account"]
    assert contact.field("AccountId").refers_to == ("Account",)
    assert contact.field("WhatId__c").refers_to == ("Account", "Home__c")
    assert (account.created_field, account.modified_field) == ("CreatedDate", "SystemModstamp")
    assert account.field("CreatedDate").kind is Kind.TIMESTAMP
    assert files.count(["Account", "Contact"]) == {"Account": 1, "Contact": 3}
    assert len(contact.attributes["files"]) == 2


def test_records_in_the_recycle_bin_are_deletions(tmp_path: Path) -> None:
    found = listing(salesforce_export(tmp_path / "export"), "Account")
    assert found.column("Id") == ids("001", 2)[:1]
    assert [page.deleted for page in found.pages] == [ids("001", 2)[1:]]


def test_file_bodies_are_found_by_id_of_either_length(tmp_path: Path) -> None:
    files = connector(salesforce_export(tmp_path / "export"))
    (version,) = ids("068", 1)
    for wanted in (version, version[:15]):
        assert b"".join(files.download("ContentVersion", wanted)) == b"body" * 1000
    assert b"".join(files.download("Attachment", long_id("00P000000000001"))) == b"old"
    with pytest.raises(RecordRejectedError, match="has no file in the export"):
        list(files.download("ContentVersion", ids("068", 9)[8]))


def test_a_hubspot_export_has_references_and_lists(tmp_path: Path) -> None:
    header = "Record ID - Contact,First Name,Email,Hobbies,Associated Company IDs,Create Date\n"
    rows = "".join(
        f"{n},Ann,a{n}@x.example,{h},{n};9,2024-01-02 10:00\n"
        for n, h in enumerate(("golf;chess", "chess", "golf", ""))
    )
    write(tmp_path, "hubspot-crm-exports-all-contacts-2024-05-01.csv", header + rows)
    write(tmp_path, "hubspot-crm-exports-all-companies-2024-05-01.csv", "Record ID,Company name\n9,Acme\n")
    objects = connector(tmp_path).describe().objects
    assert set(objects) == {"contacts", "companies"}
    contacts = objects["contacts"]
    assert contacts.id_field == "Record ID"
    assert contacts.field("Associated Company IDs").refers_to == ("companies",)
    assert contacts.field("Hobbies").kind is Kind.TEXT_LIST
    assert contacts.created_field == "Create Date"


def test_nothing_is_uploaded(tmp_path: Path) -> None:
    import io

    from connectors.kit.contract import FileInfo

    result = connector(write(tmp_path, "t.csv", "id\n1\n")).upload(FileInfo("", "x"), io.BytesIO())
    assert isinstance(result.error, ConfigurationError)


def test_a_problem_is_told_again_when_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="whatever its name says"):
        list(connector(write(tmp_path, "t.csv", b"PK\x03\x04")).read(ReadRequest("t")))
