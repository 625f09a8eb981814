"""E-mail addresses: one cheap test for the ordinary ones, `email-validator` for the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from email_validator import EmailNotValidError, validate_email

from domain.entities import Kind
from mappings.transforms.base import Bound, Settings, Transform, UnreadableValueError
from mappings.transforms.text import same, to_text

_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]++"
ORDINARY: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+@(?:[a-z0-9]++(?:-[a-z0-9]++)*+\.)++[a-z]{{2,}}").fullmatch
"""Matches only lower-case ASCII addresses that the careful path returns unchanged, given at most `ORDINARY_LENGTH`."""

ORDINARY_LENGTH: Final = 64

_BARE = re.compile(r"[^<>]*<([^<>]+)>\s*")


def to_email(value: Any, settings: Settings) -> str | None:
    """The address in lower case. ``mailto:`` and a display name around it are dropped."""
    text = to_text(value, settings)
    if text is None:
        return None
    lowered = text.lower()
    if len(lowered) <= ORDINARY_LENGTH and lowered.isascii() and ORDINARY(lowered):
        return lowered
    return careful_email(text)


def careful_email(text: str) -> str:
    """What `to_email` returns, decided by the library alone. Raises UnreadableValueError."""
    if match := _BARE.fullmatch(text):
        text = match[1].strip()
    if text[:7].lower() == "mailto:":
        text = text[7:]
    local, at, host = text.rpartition("@")
    # Address books hold .local, .test and other reserved names, which the library refuses: they are checked one level down.
    probe = f"{local}@{host}.com" if at and "." in host.strip(".") and not host.endswith(".") else text
    try:
        result = validate_email(probe, check_deliverability=False)
    except EmailNotValidError:
        raise UnreadableValueError("not_an_email", "is not an e-mail address") from None
    address = result.normalized.removesuffix(".com") if probe is not text else ""
    if not address or not address.rpartition(".")[2][:1].isalpha():
        raise UnreadableValueError("not_an_email", "is not an e-mail address")
    return address.lower()


def email_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_email` of a column of storable texts."""
    ordinary, slow = ORDINARY, bound.scalar
    try:
        texts = list(map(str.lower, map(str.strip, values)))
    except TypeError:
        texts = [v.strip().lower() if v.__class__ is str else "" if v is None else "?" for v in values]
    return [
        None
        if not text
        else text
        if len(text) <= ORDINARY_LENGTH and ordinary(text) and value.isascii()
        else slow(value)
        for value, text in zip(values, texts, strict=True)
    ]


TRANSFORMS = (
    Transform(
        "email", "An e-mail address in lower case. Reserved domains such as .local are accepted, several addresses are not.",
        frozenset({Kind.EMAIL, Kind.TEXT}), to_email, same, column=email_column,
        loss="capitals; a display name or mailto: around the address; punycode becomes Unicode",
    ),
)  # fmt: skip
