"""Each transform on the values that break naive ones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.context import MappingContext
from mappings.transforms import REGISTRY
from mappings.transforms.base import Bound, Flaw, Settings, UnreadableValueError
from mappings.transforms.compound import join_name, split_name
from mappings.transforms.email import ORDINARY, ORDINARY_LENGTH, careful_email
from mappings.transforms.phone import careful_phone, cheap_phone
from mappings.transforms.references import salesforce_18
from tests.mappings import strategies

US, DE = MappingContext(), MappingContext("DE", "EUR", "Europe/Berlin")


def read(name: str, value: Any, context: MappingContext = US, form: str = "", **options: Any) -> Any:
    return Bound(REGISTRY[name], Settings(context, options, options.pop("values", {}), form)).scalar(value)


def refused(name: str, value: Any, context: MappingContext = US, **options: Any) -> str:
    result = read(name, value, context, **options)
    assert isinstance(result, Flaw)
    assert result.value is None
    assert result.keep == (0,), "the raw value must be kept"
    if isinstance(value, str) and len(value) > 3:
        assert value not in result.message, "a message never holds the value"
    return result.code


# ---------------------------------------------------------------- e-mail


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("Ada@Example.COM ", "ada@example.com"),
        ("mailto:ada@example.com", "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", "ada@example.com"),
        ("o'brien+crm@sub.example.co.uk", "o'brien+crm@sub.example.co.uk"),
        ("printer@office.local", "printer@office.local"),
        ("jürgen@müller.de", "jürgen@müller.de"),
        ("x@xn--mller-kva.de", "x@müller.de"),
    ],
)
def test_emails(raw: str, address: str) -> None:
    assert read("email", raw) == address


@pytest.mark.parametrize(
    "raw",
    [
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a b@example.com",
        "ada@example..com",
        "a@x.com; b@x.com",
        "ada@1.2.3.4",
        "ada@-x.com",
    ],
)
def test_what_is_no_email_stays_out(raw: str) -> None:
    assert refused("email", raw) == "not_an_email"


@given(
    st.one_of(strategies.emails, st.from_regex(r"[a-z0-9.!'+_-]{1,20}@[a-z0-9.-]{1,20}\.[a-z]{1,6}", fullmatch=True))
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_cheap_email_test_agrees_with_the_library(text: str) -> None:
    if len(text) <= ORDINARY_LENGTH and ORDINARY(text):
        assert careful_email(text) == text


# ---------------------------------------------------------------- phones


@pytest.mark.parametrize(
    ("raw", "country", "number"),
    [
        ("(415) 555-1234", US, "+14155551234"),
        ("1-415-555-1234", US, "+14155551234"),
        ("+1 415.555.1234", DE, "+14155551234"),
        ("415-555-1234 ext. 12", US, "+14155551234;ext=12"),
        ("+14155551234;ext=12", DE, "+14155551234;ext=12"),
        ("030 123456", DE, "+4930123456"),
        ("+49 (0)30 123456", US, "+4930123456"),
        ("0049 30 123456", DE, "+4930123456"),
        ("+39 06 698 12345", US, "+390669812345"),
        ("4155551234", US, "+14155551234"),
        (4155551234.0, US, "+14155551234"),
    ],
)
def test_phones(raw: Any, country: MappingContext, number: str) -> None:
    assert read("phone", raw, country) == number


def test_a_number_that_would_be_another_one_next_time_is_none() -> None:
    assert refused("phone", "000000", context=DE) == "not_a_phone"


def test_words_beside_a_number_are_kept() -> None:
    result = read("phone", "ask for Bob 415-555-1234")
    assert isinstance(result, Flaw)
    assert (result.value, result.code, result.keep) == ("+14155551234", "phone_with_words", (0,))


@pytest.mark.parametrize("raw", ["123", "555-1234", "n/a", "call me", "+999 123", "415-555-1234 / 415-555-9999", "٣"])
def test_what_is_no_phone_stays_out(raw: str) -> None:
    assert refused("phone", raw) == "not_a_phone"


_SHAPES = st.one_of(
    strategies.phones,
    st.from_regex(r"0[1-9][0-9]{1,4}[ -]?[0-9]{4,8}", fullmatch=True),
    st.from_regex(r"\+[1-9][0-9]{5,14}", fullmatch=True),
    st.from_regex(r"[0-9]{6,13}", fullmatch=True),
)


@pytest.mark.parametrize(
    "region", ["US", "CA", "DE", "GB", "FR", "IT", "BR", "JP", "AU", "MX", "AG", "RU", "KZ", "VA", "SM", "AR", "IN"]
)
@given(text=_SHAPES)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_cheap_phone_test_agrees_with_the_library(region: str, text: str) -> None:
    found = cheap_phone(text, region)
    if found is not None:
        assert careful_phone(text, region) == found


@given(st.from_regex(r"\(?[2-9][0-9]{2}\)?[ .-]?[2-9][0-9]{2}[ .-]?[0-9]{4}", fullmatch=True))
@settings(deadline=None, derandomize=True)
def test_ordinary_american_numbers_never_need_the_library(text: str) -> None:
    assert cheap_phone(text, "US") is not None


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("$1,234.50", "1234.5"), ("1.234,50 €", "1234.5"), ("(500)", "-500"), ("500-", "-500"), ("−5", "-5"), ("+7", "7"),
        ("1 234,5", "1234.5"), ("1\u202f234,5", "1234.5"), ("CHF 1'000.00", "1000"), ("1.234.567", "1234567"),
        ("1,23,456", "123456"),
        ("(1249026206928522964,9185319336)", "-1249026206928522964.9185319336"),
        ("12,5", "12.5"), ("1,234", "1234"), ("0,234", "0.234"), ("1.234", "1.234"), ("25 %", "25"), (".5", "0.5"), ("1e3", "1000"),
        ("USD 12", "12"), ("12 EUR", "12"), ("-0.00", "0"), (0.1, "0.1"), (10, "10"), (Decimal("10.00"), "10"),
        ("123456789012345678901234567890.12", "123456789012345678901234567890.12"),
    ],
)  # fmt: skip
def test_decimals(raw: Any, number: str) -> None:
    result = read("decimal", raw)
    assert result == Decimal(number)
    assert str(result) == number, "one number has one form"


@pytest.mark.parametrize(
    "raw", ["abc", "1,2,3,4", "1.2.3", "--5", "NaN", "Infinity", "1e999999", "12 apples", True, "٣", "5 5-"]
)
def test_what_is_no_number_stays_out(raw: Any) -> None:
    assert refused("decimal", raw) in ("not_a_number", "number_out_of_range")


@pytest.mark.parametrize("mark", ["", ".", ","])
@pytest.mark.parametrize("name", ["decimal", "money"])
@given(texts=st.lists(st.from_regex(r"[ +-]?[0-9]{1,20}(?:[.,][0-9]{0,19})?0{0,3}", fullmatch=True), max_size=20))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_column_of_numbers_is_its_numbers_one_by_one(name: str, mark: str, texts: list[str]) -> None:
    bound = Bound(REGISTRY[name], Settings(options={"decimal": mark} if mark else {}))
    assert list(map(repr, bound.column(texts))) == [repr(bound.scalar(text)) for text in texts]


def test_a_decimal_comma_that_the_column_proved() -> None:
    assert read("decimal", "1,234", form=",") == Decimal("1.234")
    assert read("decimal", "1.234", form=",") == Decimal(1234)


@pytest.mark.parametrize(
    ("raw", "whole"), [("1,200", 1200), ("12.0", 12), (12.0, 12), ("-3", -3), (str(2**63 - 1), 2**63 - 1)]
)
def test_integers(raw: Any, whole: int) -> None:
    assert read("integer", raw) == whole


@pytest.mark.parametrize("raw", ["12.5", str(2**63), "x"])
def test_what_is_no_integer_stays_out(raw: str) -> None:
    assert refused("integer", raw) in ("not_an_integer", "number_out_of_range", "not_a_number")


@pytest.mark.parametrize(("raw", "seconds"), [("2500", 2), ("2000", 2), ("999", 0), (0, 0), ("-2500", -2)])
def test_milliseconds_become_full_seconds_and_back(raw: Any, seconds: int) -> None:
    bound = Bound(REGISTRY["integer"], Settings(US, {"per": 1000}))
    assert bound.scalar(raw) == seconds
    assert bound.scalar(bound.backward(seconds)) == seconds
    assert bound.backward(2) == 2000


def test_a_day_goes_back_into_an_instant() -> None:
    bound = Bound(REGISTRY["date"], Settings(US, {"midnight": True}))
    assert bound.scalar("2024-05-01T15:30:00Z") == date(2024, 5, 1)
    assert bound.backward(date(2024, 5, 1)) == "2024-05-01T00:00:00.000Z"


def test_minutes_become_seconds_and_back() -> None:
    bound = Bound(REGISTRY["integer"], Settings(US, {"times": 60}))
    assert bound.scalar("90") == 5400
    assert bound.backward(5400) == 90


@pytest.mark.parametrize(
    ("raw", "answer"),
    [("true", True), ("Ja", True), ("OUI", True), ("1", True), (1.0, True), ("nein", False), (False, False)],
)
def test_booleans(raw: Any, answer: bool) -> None:
    assert read("boolean", raw) is answer
    assert read("boolean", raw, invert=True) is not answer


@pytest.mark.parametrize("raw", ["maybe", "2", 7])
def test_what_is_no_boolean_stays_out(raw: Any) -> None:
    assert refused("boolean", raw) == "not_a_boolean"


@pytest.mark.parametrize(("raw", "code"), [("eur", "EUR"), ("€", "EUR"), ("USD", "USD")])
def test_currencies(raw: str, code: str) -> None:
    assert read("currency", raw) == code


# ---------------------------------------------------------------- dates


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        ("2024-01-02T03:04:05.000+0000", at(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04:05Z", at(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02 03:04:05", at(2024, 1, 2, 2, 4, 5)),
        ("2024-07-02 03:04", at(2024, 7, 2, 1, 4)),
        ("2024-01-02T03:04:05.123456789-05:00", at(2024, 1, 2, 8, 4, 5, 123456)),
        ("2024-01-02 03:04:05 UTC", at(2024, 1, 2, 3, 4, 5)),
        ("1704164645000", at(2024, 1, 2, 3, 4, 5)),
        (1704164645, at(2024, 1, 2, 3, 4, 5)),
        (1704164645123, at(2024, 1, 2, 3, 4, 5, 123000)),
        ("2024-01-02", at(2024, 1, 1, 23)),
        ("02.01.2024 13:30", at(2024, 1, 2, 12, 30)),
        (date(2024, 1, 2), at(2024, 1, 1, 23)),
        (datetime(2024, 1, 2, 3), at(2024, 1, 2, 2)),  # noqa: DTZ001
    ],
)
def test_timestamps_leave_in_utc_and_naive_ones_were_local(raw: Any, moment: datetime) -> None:
    assert read("timestamp", raw, DE) == moment


@pytest.mark.parametrize(
    ("raw", "context", "day"),
    [
        ("2024-02-29", US, date(2024, 2, 29)),
        ("03/04/2024", US, date(2024, 3, 4)),
        ("03/04/2024", DE, date(2024, 4, 3)),
        ("13/04/2024", US, date(2024, 4, 13)),
        ("2.1.2024", US, date(2024, 1, 2)),
        ("Jan 2, 2024", US, date(2024, 1, 2)),
        ("2 January 2024", US, date(2024, 1, 2)),
        ("2024-01-02T23:30:00-08:00", US, date(2024, 1, 2)),
        (1704153600000, US, date(2024, 1, 2)),
        (datetime(2024, 1, 2, 3), US, date(2024, 1, 2)),  # noqa: DTZ001
    ],
)
def test_dates(raw: Any, context: MappingContext, day: date) -> None:
    assert read("date", raw, context) == day


def test_the_format_that_a_column_proved_wins_over_the_country() -> None:
    assert read("date", "03/04/2024", US, form="%d/%m/%Y") == date(2024, 4, 3)
    assert read("date", "2024-04-03", US, form="%d/%m/%Y") == date(2024, 4, 3)
    assert refused("date", "13/13/2024", format="%d/%m/%Y") == "not_a_date"


@pytest.mark.parametrize(
    "raw", ["0000-00-00", "2024-13-01", "2023-02-29", "tomorrow", "12", True, "0001-01-01T00:00:00+14:00", "x" * 10_000]
)
def test_what_is_no_time_stays_out(raw: Any) -> None:
    assert refused("timestamp", raw) in ("not_a_date", "not_a_timestamp", "date_out_of_range")


def test_milliseconds_far_from_now_stay_exact() -> None:
    bound = Bound(REGISTRY["timestamp"], Settings(US, {"unit": "ms"}))
    moment = bound.scalar("4254-01-01T00:00:00.001+0000")
    assert bound.scalar(bound.backward(moment)) == moment == at(4254, 1, 1, 0, 0, 0, 1000)


def test_an_hour_that_summer_time_skips_is_still_an_instant() -> None:
    assert read("timestamp", "2024-03-31 02:30", DE) == at(2024, 3, 31, 1, 30)


# ---------------------------------------------------------------- texts and choices


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (" a ", "a"),
        (94105.0, "94105"),
        (1.5, "1.5"),
        (9e-05, "0.00009"),
        (True, "true"),
        (Decimal("1.10"), "1.10"),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_texts(raw: Any, text: str) -> None:
    assert read("text", raw) == text


@pytest.mark.parametrize("raw", ["a\x00b", "a\ud800b"])
def test_what_postgresql_refuses_is_removed_with_a_warning(raw: str) -> None:
    result = read("text", raw)
    assert (result.value, result.code) == ("ab", "text_cleaned")
    assert Bound(REGISTRY["text"]).column(["x", raw])[1].value == "ab"


def test_picklists_rename_by_table_and_keep_what_they_do_not_know() -> None:
    values = {"Inbound": "inbound", "In": "inbound"}
    bound = Bound(REGISTRY["picklist"], Settings(values=values))
    assert [bound.scalar(v) for v in ("Inbound", "in", "Sideways")] == ["inbound", "inbound", "Sideways"]
    assert [bound.backward(v) for v in ("inbound", "Sideways")] == ["Inbound", "Sideways"]


def test_multi_picklists_are_sets() -> None:
    assert read("multi_picklist", "b;a; b;") == ["a", "b"]
    assert read("multi_picklist", ["b", "a"]) == ["a", "b"]


@pytest.mark.parametrize("raw", ["javascript:alert(1)", "DATA:text/html,x", "vbscript:x"])
def test_addresses_that_run_scripts_are_refused(raw: str) -> None:
    assert refused("url", raw) == "unsafe_url"


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        ("https://www.Example.com/x?y", "example.com"),
        ("example.com", "example.com"),
        ("ada@example.com", "example.com"),
        ("none", None),
    ],
)
def test_domains(raw: str, host: str | None) -> None:
    assert read("domain", raw) == host


# ---------------------------------------------------------------- references, names, addresses, rich text


def test_15_character_salesforce_ids_join_with_18_character_ones() -> None:
    assert (
        salesforce_18("0015g00000XyZab") == "0015g00000XyZabAAC"
        or salesforce_18("0015g00000XyZab")[:15] == "0015g00000XyZab"
    )
    assert salesforce_18("001A0000006Vm9r") == "001A0000006Vm9rIAC"
    assert salesforce_18("001A0000006Vm9rIAC") == "001A0000006Vm9rIAC"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Ada Lovelace", ("Ada", "Lovelace")),
        ("Lovelace, Ada", ("Ada", "Lovelace")),
        ("Ludwig van Beethoven", ("Ludwig", "van Beethoven")),
        ("Sammy Davis, Jr.", ("Sammy", "Davis, Jr.")),
        ("Sammy Davis Jr.", ("Sammy", "Davis Jr.")),
        ("García Márquez, Gabriel", ("Gabriel", "García Márquez")),
        ("Ada King  Lovelace", ("Ada King", "Lovelace")),
        ("Madonna", (None, "Madonna")),
    ],
)
def test_names(text: str, parts: tuple[str | None, str | None]) -> None:
    assert split_name(text) == parts
    assert split_name(join_name(*parts) or "") == parts


@given(st.text(st.sampled_from("ab ,.") | st.characters(categories=["L"]), max_size=15).filter(lambda t: t.strip()))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_a_name_that_was_divided_divides_the_same_again(text: str) -> None:
    parts = split_name(text)
    assert split_name(join_name(*parts) or "") == parts


def test_an_address_object_comes_apart_and_together() -> None:
    address = {"street": "1 Main St", "city": "Berlin", "state": "BE", "postalCode": "10115", "country": "DE"}
    parts = {p: read("address_part", address, part=p) for p in ("street", "city", "region", "postal_code", "country")}
    assert parts == {"street": "1 Main St", "city": "Berlin", "region": "BE", "postal_code": "10115", "country": "DE"}
    combine = REGISTRY["address_part"].combine
    assert combine is not None
    assert combine(parts, Settings()) == address


@pytest.mark.parametrize(
    ("raw", "code"), [("Germany", "DE"), ("USA", "US"), ("U.K.", "GB"), ("Deutschland", "DE"), ("fra", "FR")]
)
def test_countries(raw: str, code: str) -> None:
    assert read("country", raw) == code


def test_an_unknown_country_stays_as_it_is() -> None:
    result = read("country", "Atlantis")
    assert (result.value, result.code) == ("Atlantis", "unknown_country")


def test_rich_text_loses_what_runs() -> None:
    assert read("rich_text", "<p onclick='x()'>a<script>b</script></p>") == "<p>a</p>"
    assert read("plain_text", "<p>a &amp; b</p><p>c</p>") == "a & b\nc"


def test_every_refusal_is_an_error_of_its_own() -> None:
    with pytest.raises(UnreadableValueError) as caught:
        careful_email("nobody")
    assert caught.value.code == "not_an_email"
