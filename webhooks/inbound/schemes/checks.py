"""What the schemes share: secrets, signatures, timestamps and identities. Everything fails closed.

No comparison with a secret ends early, and every generation of a secret is compared, so that time tells nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import parse_qs, parse_qsl

from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import PATH_TOKEN, Incoming, Item, Refused, Secrets

TOLERANCE_S: Final = 300
"""How far a sender's clock, and the way to us, may differ from ours."""
MAX_FIELDS: Final = 1_000
_LONGEST_KEY: Final = 200
_MOMENT: Final = re.compile(r"[0-9]{1,16}", re.ASCII)
_KEY_TEXT: Final = re.compile(r"[!-.0-~]{1,200}", re.ASCII)

Unit = Literal["s", "ms"]
Entry = TypeVar("Entry")


# ---------------------------------------------------------------- secrets and requests


def generations(secrets: Secrets, *names: str) -> list[tuple[str, ...]]:
    """The values of ``names`` in every generation that has them all. Raises Refused when none has: nothing can be verified."""
    found = [tuple(generation.get(name, "") for name in names) for generation in secrets]
    complete = [values for values in found if all(value.strip() for value in values)]
    if not complete:
        raise Refused(
            "The endpoint has no secret yet, so nothing that is sent to it can be verified.",
            code="webhook_no_secret",
            status=503,
            remedy="Store the secret that the sender shows; the sender tries again.",
        )
    return complete


def only(request: Incoming, methods: frozenset[str]) -> None:
    """Raises Refused unless the request's method is one of ``methods``."""
    if request.method not in methods:
        raise Refused(f"Send {' or '.join(sorted(methods))}.", code="webhook_method", status=405)


def needed_header(request: Incoming, name: str) -> str:
    """A header that has to be there. Raises Refused."""
    found = request.header(name)
    if not found:
        raise Refused(f"The header {name} is missing.", code="webhook_signature_missing")
    return found


def wrong_signature() -> Refused:
    return Refused(
        "The signature does not fit the request.",
        code="webhook_signature_wrong",
        remedy="Check the stored secret and the public address; a proxy must not change address or body.",
    )


def wrong_credentials() -> Refused:
    return Refused(
        "The credentials are not those of this endpoint.",
        code="webhook_credentials_wrong",
        remedy="Compare them with those that the sender was given.",
    )


# ---------------------------------------------------------------- comparing


def same(given: bytes, expected: Iterable[bytes]) -> bool:
    """Is ``given`` one of ``expected``? In a time that depends on lengths alone."""
    return True in [hmac.compare_digest(given, value) for value in expected]


def mac(algorithm: str, secret: bytes, *parts: bytes) -> bytes:
    """The HMAC of ``parts``, one after the other."""
    return hmac.digest(secret, b"".join(parts), algorithm)


def hex_text(raw: bytes) -> bytes:
    return raw.hex().encode()


def base64_bytes(given: str) -> bytes | None:
    """What canonical base64 stands for; None for anything else, so that no two texts stand for one signature."""
    try:
        raw = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == given else None


def basic(request: Incoming, secrets: Secrets) -> None:
    """HTTP Basic with the secrets ``username`` and ``password``. Raises Refused."""
    known = [f"{name}:{password}".encode() for name, password in generations(secrets, "username", "password")]
    scheme, _, encoded = needed_header(request, "authorization").partition(" ")
    given = base64_bytes(encoded.strip()) if scheme.lower() == "basic" else None
    if given is None or not same(given, known):
        raise wrong_credentials()


def path_token(request: Incoming, secrets: Secrets) -> None:
    """The path's last segment is the secret `PATH_TOKEN`. Raises Refused."""
    known = [token.encode() for (token,) in generations(secrets, PATH_TOKEN)]
    if not same(request.path.rpartition("/")[2].encode(), known):
        raise wrong_credentials()


# ---------------------------------------------------------------- time


def fresh(written: str, now: datetime, *, unit: Unit = "s", past_s: int = TOLERANCE_S) -> datetime:
    """The moment that a header names in Unix time. Raises Refused when it is none, more than ``past_s`` old, or to come."""
    if not _MOMENT.fullmatch(written):
        raise invalid_timestamp()
    milliseconds = int(written) * (1 if unit == "ms" else 1_000)
    age_s = now.timestamp() - milliseconds / 1_000
    bounded(age_s, past_s)
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def bounded(age_s: float, past_s: int) -> None:
    """Raises Refused when something is older than ``past_s`` or comes from the future."""
    if age_s > past_s:
        raise Refused(
            f"The delivery is older than {past_s} seconds.",
            code="webhook_stale",
            remedy="Check the hub's clock; otherwise somebody may be sending an old delivery again.",
        )
    if age_s < -TOLERANCE_S:
        raise Refused(
            "The delivery is dated in the future.", code="webhook_from_future", remedy="Check the clocks of both sides."
        )


def invalid_timestamp() -> Refused:
    return Refused("The timestamp cannot be read.", code="webhook_timestamp_invalid", status=400)


def moment(written: Any) -> datetime | None:
    """An ISO 8601 time as a sender writes it in a body, in UTC, or None. Without a zone it counts as UTC."""
    if not isinstance(written, str):
        return None
    try:
        found = datetime.fromisoformat(written)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def unix(written: Any, unit: Unit = "s") -> datetime | None:
    """A Unix time as a number in a body, or None."""
    if isinstance(written, bool) or not isinstance(written, int | float):
        return None
    try:
        return datetime.fromtimestamp(written / (1_000 if unit == "ms" else 1), UTC)
    except (ValueError, OverflowError, OSError):
        return None


# ---------------------------------------------------------------- identity


def digest(*parts: bytes) -> str:
    """A key made of bytes. Where one part ends and the next begins counts."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{hashed.hexdigest()}"


def key_of(*values: str) -> str:
    """A key made of a sender's own ids: readable where they are short and plain, their digest otherwise."""
    plain = "/".join(values)
    if len(plain) <= _LONGEST_KEY and all(_KEY_TEXT.fullmatch(value) for value in values):
        return f"id:{plain}"
    return digest(*(value.encode() for value in values))


def never_again(body: bytes, now: datetime) -> str:
    """A key that no other delivery has: for hints without identity, whose second change may look like the first."""
    return digest(body, now.isoformat().encode())


def event_key(body: bytes, name: str) -> str:
    """The key of a signed body: its field ``name``, or the digest of a body that does not have it.

    A signed body that cannot be read is kept, too: it becomes a dead letter that a person sees, not a delivery lost.
    """
    try:
        found = jsonbody.mapping(jsonbody.load(body), "the body")
    except RecordRejectedError:
        return digest(body)
    value = jsonbody.text(found, name)
    return digest(body) if value is None else key_of(value)


# ---------------------------------------------------------------- bodies


def each(found: Iterable[Entry], read: Callable[[Entry], Iterable[Item]]) -> Iterator[Item]:
    """What ``read`` makes of every entry; its error where one cannot be understood, so that the others are."""
    for entry in found:
        try:
            yield from list(read(entry))
        except RecordRejectedError as error:
            yield error


def refusing(error: RecordRejectedError) -> Refused:
    """The refusal of a request whose body has to be read to be believed, or whose sender can mend it."""
    return Refused(
        error.message,
        code=error.code,
        status=413 if error.code == "webhook_body_too_large" else 400,
        remedy=error.remedy,
    )


def query_values(request: Incoming, name: str) -> list[str]:
    """What the query says under ``name``, decoded; nothing where it has too many fields to be one of a sender's."""
    try:
        return parse_qs(request.query, keep_blank_values=True, max_num_fields=MAX_FIELDS).get(name, [])
    except ValueError:
        return []


def media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def form(body: bytes) -> list[tuple[str, str]]:
    """Fields of a form in their order. Raises RecordRejectedError."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RecordRejectedError(
            "The body is no form.",
            code="webhook_body_not_form",
            remedy="The sender has to mend it and send it again.",
        ) from None
