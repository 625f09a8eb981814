from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce import soql
from domain.errors import ConfigurationError
from sandbox.salesforce.soql_ast import Compare, Literal
from sandbox.salesforce.soql_parser import parse

MOMENT = datetime(2024, 3, 7, 10, 11, 12, 345_678, tzinfo=UTC)


def test_a_whole_query() -> None:
    query = soql.select(
        "Contact",
        ("Id", "Account.Name"),
        where=("", soql.since("SystemModstamp", MOMENT)),
        order=("SystemModstamp", "Id"),
        limit=5,
    )
    assert query == (
        "SELECT Id,Account.Name FROM Contact WHERE SystemModstamp >= 2024-03-07T10:11:12.345Z "
        "ORDER BY SystemModstamp ASC, Id ASC LIMIT 5"
    )


def test_ties_go_by_id() -> None:
    assert soql.after("SystemModstamp", MOMENT, "003A") == (
        "(SystemModstamp > 2024-03-07T10:11:12.345Z OR (SystemModstamp = 2024-03-07T10:11:12.345Z AND Id > '003A'))"
    )


def test_counting() -> None:
    assert soql.count("Group", "Type = 'Queue'") == "SELECT COUNT() FROM Group WHERE Type = 'Queue'"
    assert soql.count("Account") == "SELECT COUNT() FROM Account"


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",), min_codepoint=1)))
def test_any_text_stays_inside_its_quotes(value: str) -> None:
    """Read back by another implementation of SOQL's grammar: the same value, and nothing after it."""
    quoted = soql.text(value)
    assert quoted[0] == quoted[-1] == "'"
    inner = quoted[1:-1]
    assert "'" not in inner.replace("\\\\", "").replace("\\'", "")
    parsed = parse(f"SELECT Id FROM Account WHERE Name = {quoted}")  # noqa: S608
    assert isinstance(parsed.where, Compare)
    assert isinstance(parsed.where.right, Literal)
    assert parsed.where.right.text == value


@pytest.mark.parametrize("name", ["", "Name; DROP", "Na me", "1Name", "Name'", "Náme", "a" * 90, "A..B", "Name)"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="API names"):
        soql.select(name, ("Id",))
    with pytest.raises(ConfigurationError, match="API names"):
        soql.select("Account", (name,))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-07T10:11:12.000+0000", datetime(2024, 3, 7, 10, 11, 12, tzinfo=UTC)),
        ("2024-03-07T10:11:12.000Z", datetime(2024, 3, 7, 10, 11, 12, tzinfo=UTC)),
        ("2024-03-07T10:11:12.123+0200", datetime(2024, 3, 7, 8, 11, 12, 123_000, tzinfo=UTC)),
    ],
)
def test_timestamps_of_rest_and_bulk(text: str, moment: datetime) -> None:
    assert soql.parse_timestamp(text) == moment


@given(st.datetimes(datetime(1970, 1, 1), datetime(2400, 1, 1), timezones=st.just(timezone(timedelta(hours=-7)))))  # noqa: DTZ001
def test_a_timestamp_comes_back_to_the_millisecond(moment: datetime) -> None:
    back = soql.parse_timestamp(soql.timestamp(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


def test_a_query_longer_than_salesforce_takes_names_the_object() -> None:
    fields = [f"Field_{n:05}_{'x' * 60}__c" for n in range(2000)]
    with pytest.raises(ConfigurationError, match="Account"):
        soql.select("Account", fields)
