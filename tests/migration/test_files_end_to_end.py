"""Folders of files as people have them move in: audit, plan, dry run, run, certificate, a quiet second run, undo."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from connectors.files.connector import FilesConnector
from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from storage.database import Database
from storage.embedded import ServerUrls
from tests.connectors.files.support import write
from tests.connectors.files.test_recognise import ids
from tests.migration.journey import Journey, totals, written

MATERIAL = Path(os.environ.get("SYNCLINE_VENDOR_MATERIAL", "/nonexistent"))
TREE = MATERIAL / "data/salesforce_dreamhouse/data"

Travel = Callable[[Path], Journey]


@pytest.fixture
def travel(db: Database, database_urls: ServerUrls, tenant_id: Any) -> Travel:
    def start(folder: Path) -> Journey:
        settings = {"path": str(folder), "source": "test"}
        return Journey(
            db,
            database_urls,
            tenant_id,
            lambda: FilesConnector(Connection("c", "files", settings, MemoryTokens())),
        )

    return start


def there_and_back(journey: Journey, check: Callable[[Journey, Any], None]) -> None:
    """The whole way of a customer, with ``check`` looking at what arrived."""
    empty = journey.everything()
    plan = journey.propose()
    preview = journey.dry_run(plan)
    assert journey.everything() == empty
    result = journey.run(plan)
    assert result.certificate.ok, result.certificate.differences
    assert totals(result.ledgers) == totals({name: p.ledger for name, p in preview.items()})
    assert all(ledger.adds_up for ledger in result.ledgers.values())
    check(journey, result)
    arrived = journey.everything()
    again = journey.run(journey.propose())
    assert written(again.ledgers) == {}
    assert again.certificate.ok, again.certificate.differences
    assert journey.everything() == arrived
    assert journey.migrations.undo(again.run_id).kept == []
    assert journey.migrations.undo(result.run_id).kept == []
    assert journey.everything() == empty


def table(rows: list[list[Any]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    """What one finds on a shared drive."""
    folder = tmp_path / "Übergabe 2024 (final)"
    companies = [
        ["id", "name", "website", "city"],
        ["C1", "Müller & Söhne", "mueller.example", "Köln"],
        ["C2", "Ångström AB", "", "Malmö"],
    ]
    write(folder, "companies.csv", table(companies, ";"), "cp1252")
    people = [
        ["id", "first name", "last name", "email", "phone", "company_id", "notes", "notes", "created at"],
        ["1", "Zoë", "Müller", "zoe@mueller.example", "+49 221 555 0100", "C1", "line one\nline two", "", "2020-01-05"],
        ["2", "Zoe", "Müller", "ZOE@mueller.example", "", "C1", "", "a second note", "2021-01-05"],
        ["3", "Bo", "Li", "not an address", "call me", "C2", 'said "no", twice', "", "2020-02-01"],
        ["4", "Ann", "Ek", "ann@ek.example", "", "C99", "", "", "2020-03-01"],
        ["5", "Ann", "Other", "ann.other@ek.example", "", "C2", "", "", "2020-03-02"],
        ["5", "Ann", "Other", "ann.other@ek.example", "", "C2", "listed again", "", "2020-03-02"],
    ]
    ragged = table(people) + "6,Too,Many,t@x.example,,C1,,,2020-04-01,surplus,cells\r\n7,Few,Cells\r\n"
    write(folder, "people.csv", ragged, "utf-16")
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Deals"
    for row in (
        ["id", "name", "amount", "company_id", "stage", "close date"],
        ["D1", "Big deal", 1234.5, "C1", "Won", "2024-05-01"],
        ["D2", "Orphan deal", 10, "C404", "New", "2024-06-01"],
    ):
        sheet.append(row)
    book.save(folder / "deals.xlsx")
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr(
            "leads.tsv", "id\tfirst_name\tlast_name\temail\tcompany\nL1\tLea\tDahl\tlea@dahl.example\tDahl\n"
        )
    return folder


def test_a_folder_of_ugly_tables_moves_in_and_out_again(ugly: Path, travel: Travel) -> None:
    def check(journey: Journey, result: Any) -> None:
        people = result.ledgers["people"]
        assert people.listed == 8
        assert (people.merged, people.superseded) == (1, 1), "two of one address, and one told twice"
        assert people.rejected == 2, "too many cells, and too few"
        [zoe] = journey.rows("SELECT first_name, email, phone FROM crm_contact WHERE email LIKE 'zoe%'")
        assert zoe == ("Zoë", "zoe@mueller.example", "+492215550100")
        kept = journey.column(
            "SELECT CAST(to_jsonb(c) AS text) FROM crm_contact c WHERE first_name IN ('Zoë', 'Ann', 'Bo')"
        )
        assert any("line one\\nline two" in row for row in kept), "a quoted line end"
        assert any("a second note" in row for row in kept), "the second column of the same name"
        assert any("not an address" in row for row in kept), "what is no address is kept as it was"
        assert any("listed again" in row for row in kept), "a duplicate fills in what is missing"
        assert set(journey.column("SELECT name FROM crm_account")) >= {"Müller & Söhne", "Ångström AB"}

    there_and_back(travel(ugly), check)


@pytest.fixture
def slips(tmp_path: Path) -> Path:
    """A table of companies whose ids are right but for one that stands there twice, one that is blank, one cut-off row."""
    rows = [["id", "name", "city"], *([f"C{n}", f"Company {n}", "Bonn"] for n in range(12))]
    rows += [["C7", "Seven renamed", "Köln"], ["", "Nobody's", "Ulm"], ["C900", "Cut off"]]
    write(tmp_path / "slips", "companies.csv", table(rows))
    people = [["id", "last name", "email", "company_id"]]
    people += [[f"{n}", f"Nr {n}", f"p{n}@x.example", f"C{n}"] for n in (6, 7, 8)]
    write(tmp_path / "slips", "people.csv", table(people))
    return tmp_path / "slips"


def test_references_hold_though_an_id_repeats_and_another_is_blank(slips: Path, travel: Travel) -> None:
    def check(journey: Journey, result: Any) -> None:
        companies = result.ledgers["companies"]
        assert (companies.listed, companies.superseded, companies.rejected, companies.created) == (15, 1, 2, 12)
        found = journey.rows(
            "SELECT c.email, a.name FROM crm_contact c JOIN crm_account a ON a.id = c.account_id ORDER BY c.email"
        )
        assert found == [
            ("p6@x.example", "Company 6"),
            ("p7@x.example", "Seven renamed"),
            ("p8@x.example", "Company 8"),
        ]
        letters = journey.rows("SELECT code, stage, vendor_id, place, field FROM dead_letter ORDER BY code")
        assert letters == [
            ("file_no_id", "extract", None, "companies.csv, row 15, column id", "id"),
            ("file_ragged_row", "extract", "C900", "companies.csv, row 16, column city", "city"),
        ]

    there_and_back(travel(slips), check)


@pytest.fixture
def hubspot(tmp_path: Path) -> Path:
    folder = tmp_path / "hubspot-crm-exports"
    write(
        folder,
        "hubspot-crm-exports-all-contacts-2024-05-01.csv",
        table(
            [
                [
                    "Record ID",
                    "First Name",
                    "Last Name",
                    "Email",
                    "Phone Number",
                    "Associated Company IDs",
                    "Create Date",
                ],
                ["101", "Ida", "Holm", "ida@holm.example", "+45 32 12 34 56", "9001", "2023-01-02 10:00"],
                ["102", "Jon", "Dam", "jon@dam.example", "", "9001;9002", "2023-01-03 11:30"],
            ]
        ),
    )
    write(
        folder,
        "hubspot-crm-exports-all-companies-2024-05-01.csv",
        table(
            [
                ["Record ID", "Company name", "Company Domain Name", "Create Date"],
                ["9001", "Holm A/S", "holm.example", "2022-01-02 10:00"],
                ["9002", "Dam ApS", "dam.example", "2022-01-03 10:00"],
            ]
        ),
    )
    write(
        folder,
        "hubspot-crm-exports-all-deals-2024-05-01.csv",
        table(
            [
                ["Record ID", "Deal Name", "Deal Stage", "Pipeline", "Amount", "Associated Contact IDs", "Close Date"],
                ["7001", "Deal one", "Closed won", "Sales Pipeline", "1200.50", "101", "2024-02-02 10:00"],
            ]
        ),
    )
    return folder


def test_a_hubspot_export_moves_in_and_out_again(hubspot: Path, travel: Travel) -> None:
    def check(journey: Journey, result: Any) -> None:
        assert sorted(journey.column("SELECT email FROM crm_contact")) == ["ida@holm.example", "jon@dam.example"]
        assert journey.count("crm_account") == 2
        assert journey.rows("SELECT name, amount FROM crm_opportunity")[0][0] == "Deal one"
        related = journey.count("crm_association") + len(
            journey.column("SELECT id FROM crm_contact WHERE account_id IS NOT NULL")
        )
        assert related >= 3

    there_and_back(travel(hubspot), check)


@pytest.fixture
def data_export(tmp_path: Path) -> Path:
    """A weekly data export: one archive, every object a quoted CSV, file bodies by id."""
    user, account = ids("005", 1), ids("001", 2)
    contact, deal, version, document = ids("003", 3), ids("006", 1), ids("068", 1), ids("069", 1)
    path = tmp_path / "WE_00D000000000062EAA_1.ZIP"
    stamp = "2023-05-06T07:08:09.000Z"
    people = [[c, f"Nr {n}", f"p{n}@x.example", account[n % 2], user[0], "0", stamp] for n, c in enumerate(contact)]
    tables: dict[str, list[list[Any]]] = {
        "User": [["Id", "Username", "Name", "LastName"], [user[0], "a@b.example", "Ada J", "J"]],
        "Account": [
            ["Id", "Name", "OwnerId", "ParentId", "CreatedDate"],
            [account[0], "Acme", user[0], "", stamp],
            [account[1], "Acme EU", user[0], account[0], stamp],
        ],
        "Contact": [["Id", "LastName", "Email", "AccountId", "OwnerId", "IsDeleted", "CreatedDate"], *people],
        "Opportunity": [
            ["Id", "Name", "StageName", "CloseDate", "Amount", "AccountId", "OwnerId"],
            [deal[0], "Deal", "Closed Won", "2024-01-01", "10.50", account[0], user[0]],
        ],
        "ContentVersion": [
            ["Id", "ContentDocumentId", "Title", "PathOnClient", "ContentSize", "IsLatest", "OwnerId"],
            [version[0], document[0], "Offer", "offer.txt", "5", "1", user[0]],
        ],
        "ContentDocumentLink": [
            ["Id", "LinkedEntityId", "ContentDocumentId", "ShareType"],
            [ids("06A", 1)[0], contact[0], document[0], "V"],
        ],
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in tables.items():
            archive.writestr(f"{name}.csv", table(rows))
        archive.writestr(f"ContentVersion/{version[0]}", b"hello")
    return path


def test_a_salesforce_data_export_moves_in_and_out_again(data_export: Path, travel: Travel) -> None:
    def check(journey: Journey, result: Any) -> None:
        assert {n: x.created for n, x in result.ledgers.items() if n in ("User", "Account", "Contact")} == {
            "User": 1,
            "Account": 2,
            "Contact": 3,
        }
        assert journey.rows("SELECT p.name FROM crm_account a JOIN crm_account p ON p.id = a.parent_id") == [("Acme",)]
        assert journey.rows("""SELECT c.email, x.size_bytes FROM crm_association a JOIN crm_contact c ON c.id = a.from_id
            JOIN crm_attachment x ON x.id = a.to_id WHERE x.sha256 IS NOT NULL""") == [("p0@x.example", 5)]
        assert journey.count("blob") == 1

    there_and_back(travel(data_export), check)


@pytest.mark.skipif(not TREE.is_dir(), reason="SYNCLINE_VENDOR_MATERIAL names no folder with the dreamhouse sample")
def test_the_vendors_own_sample_files_move_in_and_out_again(travel: Travel) -> None:
    count = sum(len(json.loads(p.read_text())["records"]) for p in TREE.glob("*-data.json"))

    def check(journey: Journey, result: Any) -> None:
        assert sum(ledger.source for ledger in result.ledgers.values()) == count

    there_and_back(travel(TREE), check)


def test_a_column_called_like_a_reference_whose_values_are_no_ids_is_kept_as_it_is(
    tmp_path: Path, travel: Travel
) -> None:
    """Account numbers of another system: as references they would all stay open."""
    companies = [["id", "name"], *([f"C{n}", f"Company {n}"] for n in range(6))]
    people = [["id", "last name", "email", "company_id", "account_id"]]
    people += [[f"{n}", f"Nr {n}", f"p{n}@x.example", f"C{n}", f"DE-{n}"] for n in range(6)]
    for name, rows in (("companies", companies), ("people", people)):
        write(tmp_path / "own", f"{name}.csv", table(rows))

    def check(journey: Journey, _result: Any) -> None:
        found = journey.rows(
            """SELECT a.name, c.custom_fields->>'account_id' FROM crm_contact c
            JOIN crm_account a ON a.id = c.account_id ORDER BY c.email"""
        )
        assert found == [(f"Company {n}", f"DE-{n}") for n in range(6)]
        assert journey.count("pending_reference") == 0

    there_and_back(travel(tmp_path / "own"), check)
