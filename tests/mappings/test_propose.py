"""First guesses at what an unknown object holds."""

from __future__ import annotations

from typing import Any

import pytest

from domain.entities import Kind
from domain.records import FieldSchema, ObjectSchema
from mappings.compile import compile_spec
from mappings.propose import plain_words, propose
from mappings.spec import parse_spec, spec_to_toml


def table(name: str, *columns: str | FieldSchema, **more: Any) -> ObjectSchema:
    fields = tuple(FieldSchema(c) if isinstance(c, str) else c for c in columns)
    return ObjectSchema(name, fields, **({"id_field": fields[0].name} | more))


@pytest.mark.parametrize(
    ("schema", "entity", "expected"),
    [
        (
            table(
                "Kontakte 2024",
                "ID",
                "Vorname",
                "Nachname",
                "E-Mail-Adresse",
                "Telefon",
                "PLZ",
                "Ort",
                "Straße",
                "Geburtsdatum",
            ),
            "contact",
            {
                "first_name": "Vorname",
                "last_name": "Nachname",
                "email": "E-Mail-Adresse",
                "phone": "Telefon",
                "mailing_postal_code": "PLZ",
                "mailing_city": "Ort",
                "mailing_street": "Straße",
                "birth_date": "Geburtsdatum",
            },
        ),
        (
            table("people_export", "id", "firstName", "lastName", "Correo electrónico", "Móvil"),
            "contact",
            {
                "first_name": "firstName",
                "last_name": "lastName",
                "email": "Correo electrónico",
                "mobile_phone": "Móvil",
            },
        ),
        (
            table("Sheet1", "Nr", "Prénom", "Nom", "Courriel"),
            "contact",
            {"first_name": "Prénom", "last_name": "Nom", "email": "Courriel"},
        ),
        (
            table("Firmen", "Kundennummer", "Firma", "Branche", "Webseite", "Umsatz"),
            "account",
            {"name": "Firma", "industry": "Branche", "website": "Webseite", "annual_revenue": "Umsatz"},
        ),
        (
            table("deals", "Deal ID", "Deal Name", "Betrag", "Expected close date", "Probability"),
            "opportunity",
            {
                "name": "Deal Name",
                "amount": "Betrag",
                "close_date": "Expected close date",
                "probability": "Probability",
            },
        ),
        (
            table("tasks", "id", "Subject", "Due date", "Notes"),
            "activity",
            {"subject": "Subject", "due_date": "Due date", "body": "Notes"},
        ),
    ],
    ids=lambda v: v.name if isinstance(v, ObjectSchema) else "",
)
def test_headers_in_several_languages(schema: ObjectSchema, entity: str, expected: dict[str, str]) -> None:
    proposal = propose(schema)
    assert proposal.spec.entity == entity
    found = {name: line.sources[0] for name, line in proposal.spec.fields.items()}
    assert {n: found.get(n) for n in expected} == expected
    assert set(proposal.confidence) == set(proposal.reasons) == set(found)
    assert all(0 < c <= 1 for c in proposal.confidence.values())
    assert parse_spec(spec_to_toml(proposal.spec), "copy.toml") == proposal.spec


def test_a_whole_name_is_divided() -> None:
    spec = propose(table("contacts", "id", "Full Name", "Email")).spec
    record = compile_spec(spec).forward_one({"id": "1", "Full Name": "Ludwig van Beethoven", "Email": "l@example.com"})
    assert (record.values["first_name"], record.values["last_name"]) == ("Ludwig", "van Beethoven")


def test_what_finds_no_field_is_custom() -> None:
    proposal = propose(table("contacts", "id", "First name", "Last name", "Favourite colour"))
    assert proposal.unmapped == ("Favourite colour",)
    assert proposal.spec.custom.unmapped == "custom_fields"


def test_sample_values_can_veto_a_name() -> None:
    schema = table("contacts", "id", "Last name", "Birthday", "Phone")
    samples = {"Birthday": ["yes", "no", "yes"], "Phone": ["415-555-1234", ""]}
    fields = propose(schema, samples=samples).spec.fields
    assert "birth_date" not in fields
    assert "phone" in fields


def test_kinds_speak_where_names_do_not() -> None:
    schema = table("contacts", "id", "Surname", FieldSchema("Kontaktweg", Kind.EMAIL))
    proposal = propose(schema)
    assert proposal.spec.fields["email"].sources == ("Kontaktweg",)
    assert proposal.confidence["email"] < proposal.confidence["last_name"]


def test_a_kind_that_cannot_fit_is_no_match() -> None:
    assert "email" not in propose(table("contacts", "id", "Surname", FieldSchema("Email", Kind.BOOLEAN))).spec.fields


def test_a_custom_object_is_a_custom_record_with_its_lookups() -> None:
    schema = ObjectSchema(
        "Property__c",
        (
            FieldSchema("Id"),
            FieldSchema("Name"),
            FieldSchema("OwnerId", Kind.REFERENCE, refers_to=("User",)),
            FieldSchema("CreatedDate", Kind.TIMESTAMP),
            FieldSchema("SystemModstamp", Kind.TIMESTAMP),
            FieldSchema("IsDeleted", Kind.BOOLEAN),
            FieldSchema("Price__c", Kind.DECIMAL, custom=True),
            FieldSchema("Broker__c", Kind.REFERENCE, custom=True, refers_to=("Broker__c",)),
        ),
        custom=True,
        id_field="Id",
        name_field="Name",
        modified_field="SystemModstamp",
    )
    proposal = propose(schema)
    spec = proposal.spec
    assert (spec.vendor, spec.entity, spec.constants, spec.version) == (
        "salesforce", "custom_record", {"object_name": "Property__c"}, "SystemModstamp",
    )  # fmt: skip
    assert spec.fields["owner_id"].objects == ("User",)
    assert spec.fields["source_created_at"].direction == "in"
    assert [(link.label, link.source, link.objects) for link in spec.links] == [
        ("Broker__c", "Broker__c", ("Broker__c",))
    ]
    record = compile_spec(spec, schema).forward_one(
        {"Id": "a01000000000001", "Name": "Loft", "Price__c": 1.5, "Broker__c": "a00000000000001", "IsDeleted": False}
    )
    assert record.values["name"] == "Loft"
    assert record.custom_fields["Price__c"] == 1.5
    assert record.links == (("Broker__c", "a00000000000001AAA"),)


def test_an_unknown_table_is_a_custom_record_and_nobody_is_sure() -> None:
    proposal = propose(table("inventory", "shelf", "bin"))
    assert proposal.spec.entity == "custom_record"
    assert proposal.entity_confidence <= 0.5


def test_a_table_without_the_required_field_is_no_such_entity() -> None:
    proposal = propose(table("accounts", "id", "phone", "website"))
    assert proposal.spec.entity == "custom_record"
    assert "name" in proposal.entity_reason


def test_the_entity_may_be_told() -> None:
    assert propose(table("export", "id", "Name", "Email"), "user").spec.entity == "user"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("E-Mail-Adresse", "e mail adresse"),
        ("firstName", "first name"),
        ("Prénom", "prenom"),
        ("Größe__c", "grosse"),
        ("ZIP/Postal", "zip postal"),
    ],
)
def test_words_of_a_header(header: str, words: str) -> None:
    assert plain_words(header) == words
