"""Specs: what parses, what a mistake is told, what a tenant may override."""

from __future__ import annotations

import pickle

import pytest

from domain.errors import MappingSpecError
from mappings.compile import MappingContext, compile_spec
from mappings.spec import load_shipped, parse_spec, shipped, spec_to_toml, with_override

GOOD = """
[spec]
vendor = "acme"
object = "Person"
entity = "contact"
id = "Id"
version = "Changed"

[fields]
first_name = "First"
email = { from = "Mail", blank = ["none"], on_error = "reject" }
source = { from = "Origin", via = "picklist", values = { Web = "web", Fair = "event" }, default = "unknown" }
account_id = { from = "Company", objects = ["Company"] }

[constants]
language = "de"

[ignore]
Photo = "an address that needs a session"

[only]
Deleted = ["false"]

[custom.rename]
Foo = "foo"

[[links]]
label = "partner"
from = "Partners"
objects = ["Company", "Person"]
separator = ";"
"""


def test_a_whole_spec() -> None:
    spec = parse_spec(GOOD, "person.toml")
    assert spec.fields["first_name"].sources == ("First",)
    assert spec.fields["email"].via == "email"
    assert spec.fields["account_id"].objects == ("Company",)
    assert parse_spec(spec_to_toml(spec), "copy.toml") == spec
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301


def test_a_whole_spec_at_work() -> None:
    lens = compile_spec(parse_spec(GOOD, "person.toml"))
    record = lens.forward_one(
        {
            "Id": 7,
            "First": "Ada",
            "Mail": "none",
            "Origin": "Fair",
            "Company": "c1",
            "Photo": "x",
            "Foo": 1,
            "Partners": "c2; p3",
        }
    )
    assert record.vendor_id == "7"
    assert record.values["email"] is None
    assert record.values["source"] == "event"
    assert record.values["language"] == "de"
    assert record.custom_fields == {"foo": 1}
    assert record.links == (("partner", "c2"), ("partner", "p3"))
    assert lens.backward(record.as_record()) == {
        "First": "Ada", "Mail": None, "Origin": "Fair", "Company": "c1", "Foo": 1, "Partners": "c2;p3",
    }  # fmt: skip
    assert lens.backward(record.as_record(), ["first_name"]) == {"First": "Ada"}


def test_an_unreadable_value_of_a_rejecting_field_refuses_the_record() -> None:
    lens = compile_spec(parse_spec(GOOD, "person.toml"))
    record = lens.forward_one({"Id": "1", "Mail": "not an address"})
    assert [(p.code, p.rejects, p.field, p.source_field) for p in record.problems] == [
        ("not_an_email", True, "email", "Mail")
    ]
    assert record.custom_fields == {"Mail": "not an address"}
    assert "not an address" not in record.problems[0].message


def edit(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (edit("first_name =", "frist_name ="), 10, "frist_name is not a field of contact. Did you mean first_name?"),
        (edit('entity = "contact"', 'entity = "contcat"'), 5, "Did you mean contact?"),
        (edit('via = "picklist"', 'via = "pciklist"'), 12, "Did you mean picklist?"),
        (edit('"First"', '{ from = "First", via = "boolean" }'), 10, "holds a text, which boolean does not make."),
        (edit('"First"', '{ from = "First", form = "x" }'), 10, "unknown setting 'form'. Did you mean from?"),
        (edit('"First"', '{ via = "text" }'), 10, "does not say which source field"),
        (edit('"First"', "7"), 10, "must be a source field in quotes"),
        (
            edit('"First"', '["First", "Second"]'),
            10,
            "has several sources, but text reads one. Use one of: first_of, join.",
        ),
        (edit('"First"', '{ from = "First", values = { a = "b" } }'), 10, "table of values, which text does not use"),
        (edit('"First"', '{ from = "First", via = "name_part" }'), 10, "needs the option part of name_part."),
        (edit('"First"', '{ from = "First", via = "name_part", part = "middle" }'), 10, "has part = 'middle'"),
        (
            edit('"First"', '{ from = "First", direction = "up" }'),
            10,
            "has direction = 'up'. Use one of: both, in, out.",
        ),
        (edit(', objects = ["Company"] }', " }"), 13, "is a reference and does not say to which objects"),
        (edit('"First"', '{ from = "First", objects = ["X"] }'), 10, "is no reference, so objects means nothing"),
        (edit('"First"', '"Mail"'), 11, "writes Mail, which first_name writes as well."),
        (edit('language = "de"', 'langauge = "de"'), 16, "Did you mean language?"),
        (edit('language = "de"', 'first_name = "x"'), 16, "is mapped from a source field, too"),
        (edit('language = "de"', 'birth_date = "soon"'), 16, "fixed value that is not a date"),
        (edit("Photo =", "Mail ="), 19, "is mapped as well as ignored"),
        (edit("[ignore]", "[ignroe]"), 18, "is not a section of a mapping. Did you mean ignore?"),
        (edit('version = "Changed"', 'verison = "Changed"'), 7, "Did you mean version?"),
        (edit('id = "Id"\n', ""), 2, "is missing"),
        (edit('"First"', '"First'), 10, "is not valid TOML"),
        (edit('Foo = "foo"', 'Mail = "foo"'), 25, "is renamed to or from a field that is mapped"),
        (edit('["false"]', "false"), 22, "needs Deleted as a list of texts"),
        (edit('label = "partner"\n', ""), 27, "must be a text in quotes"),
    ],
)
def test_a_mistake_names_file_line_and_field(text: str, line: int, words: str) -> None:
    with pytest.raises(MappingSpecError) as caught:
        parse_spec(text, "person.toml")
    assert str(caught.value).startswith(f"person.toml, line {line}: ")
    assert words in str(caught.value)


def test_a_required_field_must_come_from_somewhere() -> None:
    with pytest.raises(MappingSpecError, match=r"does not say where account\.name comes from"):
        parse_spec('[spec]\nvendor = "a"\nobject = "b"\nentity = "account"\nid = "Id"\n[fields]\nphone = "P"', "a.toml")


def test_leaving_out_everything_unmapped_needs_a_reason() -> None:
    with pytest.raises(MappingSpecError, match="without saying why"):
        parse_spec(edit("[custom.rename]", '[custom]\nunmapped = "ignore"\n[custom.rename]'), "a.toml")


# ---------------------------------------------------------------- overrides


def test_an_override_adds_replaces_and_removes_lines() -> None:
    contact = load_shipped("salesforce", "Contact")
    assert contact is not None
    changed = with_override(
        contact,
        """
        [fields]
        language = "Language__c"
        email = { from = "Work_Email__c", on_error = "reject" }
        tags = { from = "Interests__c", separator = "," }
        [ignore]
        Level__c = "only the old system used it"
        [remove]
        fields = ["fax"]
        """,
        "tenant.toml",
    )
    assert changed.fields["language"].sources == ("Language__c",)
    assert changed.fields["email"].sources == ("Work_Email__c",)
    assert "fax" not in changed.fields
    assert changed.fields["phone"] == contact.fields["phone"]
    lens = compile_spec(changed)
    record = lens.forward_one(
        {"Id": "003000000000001", "Fax": "+1 415 555 1234", "Level__c": "x", "Interests__c": "b,a"}
    )
    assert record.values["tags"] == ["a", "b"]
    assert record.custom_fields == {"Fax": "+1 415 555 1234"}, "what is no longer mapped is kept"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "\n[remove]\nfields = ['faxx']",
            "line 3: [remove] fields lists 'faxx', which the mapping does not have. Did you mean fax?",
        ),
        ("[fields]\n\nemial = 'Email'", "line 3: [fields] emial is not a field of contact. Did you mean email?"),
        ("[spec]\nentity = 'lead'", "line 2: [spec] entity differs from 'contact'"),
        ("[feilds]", "line 1: [feilds] is not a section"),
    ],
)
def test_a_mistake_in_an_override_points_into_the_override(text: str, words: str) -> None:
    contact = load_shipped("salesforce", "Contact")
    assert contact is not None
    with pytest.raises(MappingSpecError) as caught:
        with_override(contact, text, "tenant.toml")
    assert f"tenant.toml, {words}" in str(caught.value)


def test_an_override_may_map_what_was_ignored_and_replace_a_constant() -> None:
    task = load_shipped("salesforce", "Task")
    assert task is not None
    changed = with_override(task, '[fields]\nbody_format = "Format__c"\nlocation = "AccountId"', "t.toml")
    assert "AccountId" not in changed.ignore
    assert "body_format" not in changed.constants


# ---------------------------------------------------------------- shipped ones and versions


def test_shipped_specs_are_found_by_vendor_and_object() -> None:
    assert len(shipped()) >= 30
    assert load_shipped("salesforce", "contact") == load_shipped("salesforce", "Contact")
    assert load_shipped("salesforce", "Nothing") is None


@pytest.mark.parametrize(
    "name",
    [
        "User",
        "Group",
        "Account",
        "Contact",
        "Lead",
        "Opportunity",
        "OpportunityHistory",
        "OpportunityContactRole",
        "OpportunityStage",
        "RecordType",
        "Product2",
        "Pricebook2",
        "PricebookEntry",
        "OpportunityLineItem",
        "Task",
        "Event",
        "Case",
        "Campaign",
        "CampaignMember",
        "Note",
        "ContentNote",
        "ContentVersion",
        "Attachment",
        "ContentDocumentLink",
    ],
)
def test_every_salesforce_object_of_a_migration_has_a_spec(name: str) -> None:
    assert load_shipped("salesforce", name) is not None


def test_a_lens_version_changes_with_spec_and_context_alone() -> None:
    contact = load_shipped("salesforce", "Contact")
    assert contact is not None
    version = compile_spec(contact).version
    assert compile_spec(contact, None, MappingContext()).version == version
    assert compile_spec(contact, None, MappingContext("DE")).version != version
    assert compile_spec(with_override(contact, '[remove]\nfields = ["fax"]', "t"), None).version != version
