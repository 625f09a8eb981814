"""JSON from strangers: what passes can be stored as it is, and what does not is told by a code."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody


def code_of(body: bytes, **limits: int) -> str:
    with pytest.raises(RecordRejectedError) as caught:
        jsonbody.load(body, **limits)
    return caught.value.code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "webhook_body_not_json"),
        (b"{", "webhook_body_not_json"),
        (b"[1,]", "webhook_body_not_json"),
        (b"{}x", "webhook_body_not_json"),
        (b"NaN", "webhook_body_not_json"),
        (b"-Infinity", "webhook_body_not_json"),
        (b"1e400", "webhook_body_not_json"),
        (b"\xef\xbb\xbf{}", "webhook_body_not_json"),
        ('{"a":1}'.encode("utf-16"), "webhook_body_not_json"),
        (b'"\xff"', "webhook_body_not_json"),
        (b'"\\ud800"', "webhook_body_not_json"),
        (b'"a\x00b"', "webhook_body_not_json"),
        (b"[" * 100_000 + b"]" * 100_000, "webhook_body_too_deep"),
        (b"[" * 100_000, "webhook_body_too_deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "webhook_body_too_deep"),
        (b"[" * 65 + b"]" * 65, "webhook_body_too_deep"),
        (b'{"a":1,"a":1}', "webhook_body_repeats_key"),
        (b'[{"b":{"a":1,"\\u0061":2}}]', "webhook_body_repeats_key"),
        (b'{"a":"\\u0000"}', "webhook_body_nul"),
        (b'{"\\u0000":1}', "webhook_body_nul"),
        (b'[["x\\u0000"]]', "webhook_body_nul"),
        (b"18446744073709551616", "webhook_body_number"),
        (b"[-9223372036854775809]", "webhook_body_number"),
        (b'{"a":' + b"9" * 300 + b"}", "webhook_body_number"),
        (b'{"a":' + b"9" * 5_000 + b"}", "webhook_body_not_json"),
    ],
)
def test_what_cannot_be_kept_is_refused(body: bytes, code: str) -> None:
    assert code_of(body) == code


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"-0", 0),
        (b"1.50", 1.5),
        (b'"\\\\u0000"', "\\u0000"),
        ('"Müller ♥ \U0001f600"'.encode(), "Müller ♥ \U0001f600"),
        (b"[" * 64 + b"]" * 64, None),
        (b"[" + b"[]," * 200 + b"[]]", None),
        (b' {"a": [true, false, null]} ', {"a": [True, False, None]}),
    ],
)
def test_what_can_be_kept_is_read_as_it_is(body: bytes, value: Any) -> None:
    read = jsonbody.load(body)
    assert read == (json.loads(body) if value is None else value)


def test_the_caller_says_how_much_is_read() -> None:
    assert jsonbody.load(b"[1]", max_bytes=3) == [1]
    assert code_of(b"[1] ", max_bytes=3) == "webhook_body_too_large"


def test_no_error_repeats_a_value() -> None:
    with pytest.raises(RecordRejectedError) as caught:
        jsonbody.load(b'{"ann@example.com":1,"ann@example.com":2}')
    assert "ann" not in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_everything_else_comes_through_unchanged(value: Any) -> None:
    assert jsonbody.load(orjson.dumps(value)) == value


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0019eE+-. ').map(str.encode))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    try:
        read = jsonbody.load(noise)
    except RecordRejectedError:
        return
    assert orjson.loads(orjson.dumps(read)) == read


def test_shapes_are_told_by_name() -> None:
    with pytest.raises(RecordRejectedError, match="meta is no object"):
        jsonbody.mapping([], "meta")
    with pytest.raises(RecordRejectedError, match="value is no list"):
        jsonbody.items({}, "value")
    with pytest.raises(RecordRejectedError, match="entry of value"):
        jsonbody.items([1], "value")
    with pytest.raises(RecordRejectedError, match="id is missing"):
        jsonbody.needed({"id": " "}, "id")


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (" a ", "a"), ("", None), (True, None), (1.5, None), (None, None), ([], None)]
)
def test_ids_are_texts_or_whole_numbers(value: Any, text: str | None) -> None:
    assert jsonbody.text({"id": value}, "id") == text
