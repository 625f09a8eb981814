"""Sample data of development teams: plans, references, and objects known only by example."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sandbox.salesforce.errors import ApiError
from tests.sandbox.salesforce.helpers import InProcess

BAKERY = Path(__file__).parent / "trees" / "bakery"


@pytest.fixture(scope="module")
def org() -> InProcess:
    return InProcess(tree=BAKERY)


def test_the_plan_is_loaded_in_order_and_references_are_resolved(org: InProcess) -> None:
    loaves = org.soql("SELECT Name, Oven__r.Name, Based_On__r.Name FROM Loaf__c ORDER BY Name")
    assert [(r["Name"], r["Oven__r"]["Name"]) for r in loaves] == [("Oat", "Small oven"), ("Rye", "Big oven")]
    assert loaves[0]["Based_On__r"]["Name"] == "Rye"
    assert org.soql("SELECT Name FROM Contact")[0]["Name"] == "Ada Baker"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("Name", "string"),
        ("Price__c", "double"),
        ("Weight__c", "double"),
        ("Vegan__c", "boolean"),
        ("Baked__c", "date"),
        ("Sold_At__c", "datetime"),
        ("Photo__c", "url"),
        ("Recipe_By__c", "email"),
        ("Oven__c", "reference"),
    ],
)
def test_types_are_judged_by_the_values(org: InProcess, field: str, kind: str) -> None:
    fields = {f["name"]: f for f in org.call("GET", "sobjects/Loaf__c/describe").json["fields"]}
    assert fields[field]["type"] == kind
    assert fields[field]["custom"] is (field != "Name")


def test_a_pair_of_coordinates_makes_a_location(org: InProcess) -> None:
    assert org.soql("SELECT Site__c FROM Oven__c ORDER BY Name")[0]["Site__c"] == {"latitude": 52.5, "longitude": 13.4}
    fields = {f["name"]: f for f in org.call("GET", "sobjects/Oven__c/describe").json["fields"]}
    assert fields["Site__Latitude__s"]["compoundFieldName"] == "Site__c"


def test_references_point_to_the_object_that_was_referred_to(org: InProcess) -> None:
    fields = {f["name"]: f for f in org.call("GET", "sobjects/Loaf__c/describe").json["fields"]}
    assert fields["Oven__c"]["referenceTo"] == ["Oven__c"]
    assert fields["Based_On__c"]["referenceTo"] == ["Loaf__c"]
    assert fields["Oven__c"]["relationshipName"] == "Oven__r"


def test_custom_objects_get_prefixes_of_their_own(org: InProcess) -> None:
    prefixes = {o["name"]: o["keyPrefix"] for o in org.call("GET", "sobjects").json["sobjects"] if o["custom"]}
    assert len(set(prefixes.values())) == len(prefixes)
    assert org.first("Loaf__c").startswith(prefixes["Loaf__c"])


def test_known_fields_are_widened_for_what_the_tree_holds(tmp_path: Path) -> None:
    record = '{"attributes": {"type": "Property__c"}, "Name": "%s", "Status__c": "Pre-War"}' % ("x" * 90)
    (tmp_path / "a.json").write_text(f'{{"records": [{record}]}}')
    assert InProcess(tree=tmp_path).soql("SELECT Status__c FROM Property__c")[0]["Status__c"] == "Pre-War"


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither a plan"):
        InProcess(tree=tmp_path)


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        ('{"LastName": "A", "AccountId": "@Nobody"}', ValueError, "Contact.AccountId refers to @Nobody"),
        ('{"FirstName": "A"}', ApiError, "Required fields are missing"),
    ],
)
def test_a_folder_without_a_plan_is_loaded_by_name_and_errors_name_the_field(
    tmp_path: Path, record: str, error: type[Exception], message: str
) -> None:
    head = '{"attributes": {"type": "Contact", "referenceId": "r"}, '
    (tmp_path / "a.json").write_text('{"records": [' + head + record[1:] + "]}")
    with pytest.raises(error, match=message):
        InProcess(tree=tmp_path)


def test_the_public_dreamhouse_sample_org_loads_whole() -> None:
    material = os.environ.get("SYNCLINE_VENDOR_MATERIAL")
    folder = Path(material or "/nonexistent") / "data" / "salesforce_dreamhouse" / "data"
    if not folder.exists():
        pytest.skip("SYNCLINE_VENDOR_MATERIAL does not name a folder with data/salesforce_dreamhouse")
    org = InProcess(tree=folder)
    houses: list[dict[str, Any]] = org.soql("SELECT Name, Price__c, Location__c, Broker__r.Name FROM Property__c")
    assert len(houses) == len(list(org.org.tables["Property__c"])) > 5
    assert all(house["Broker__r"]["Name"] and house["Location__c"]["latitude"] for house in houses)
    assert len(org.org.live("Broker__c")) > 3
