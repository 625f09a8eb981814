"""The contract between the intake of webhooks and the verification schemes.

A scheme is a frozen value, made from its settings by `webhooks.inbound.schemes.scheme`, that does no I/O. For every request
the intake asks, in this order:

1. `Scheme.handshake`: is this only a vendor asking whether the endpoint is there? Then its reply is sent and nothing stored.
2. `Scheme.keys_at`: does it need keys that somebody publishes? They are fetched for it.
3. `Scheme.verify`: who sent this, and which delivery is it? Over the raw bytes, before anything is parsed for its content.
   `Refused` carries the HTTP status to answer with. Only a `Verified` may be stored.
4. `Scheme.reply`, once the delivery is committed.

Later, from the stored body and the headers named by `Scheme.kept_headers`, `Scheme.notices` says what the delivery is about.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict

from connectors.kit.contract import Notice, Setting
from domain.errors import RecordRejectedError, SynclineError

Secrets = Sequence[Mapping[str, str]]
"""Generations of an endpoint's secrets, newest first; each maps the names in `Scheme.secrets` to values.

A delivery that verifies by any generation is accepted, which is how secrets are rotated without losing one.
"""


class Refused(SynclineError):
    """A request that is not believed. ``status`` is what to answer; the message is safe to send.

    401 not authentic, 400 malformed, 405 wrong method, 413 too large, 503 the endpoint has no secret yet (vendors try again).
    """

    exit_code = 77

    def __init__(self, message: str, *, code: str, status: int = 401, remedy: str = "") -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.status = status


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request as it came.

    ``url`` is what the vendor was told to call: the public base address, path and query exactly as sent (still percent-encoded);
    proxies in front of the hub do not show in it. ``headers`` has lower-case names; a header that came more than once is in
    ``repeated`` and not in ``headers``. ``query`` has no question mark.
    """

    method: str
    url: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    repeated: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, method: str, base_url: str, path: str, query: str, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> Incoming:
        """From what an ASGI server gives: ``path`` raw, ``headers`` as pairs. ``base_url`` without a slash at the end."""
        seen: dict[str, str] = {}
        repeated: set[str] = set()
        for raw_name, raw_value in headers:
            name = raw_name.decode("latin-1").lower()
            if name in seen:
                repeated.add(name)
            seen[name] = raw_value.decode("latin-1")
        for name in repeated:
            del seen[name]
        url = f"{base_url}{path}" + (f"?{query}" if query else "")
        return cls(method.upper(), url, path, query, MappingProxyType(seen), body, frozenset(repeated))

    def header(self, name: str) -> str | None:
        """The one value of a header, by lower-case name. Raises Refused when it came twice: which one is meant?"""
        if name in self.repeated:
            raise Refused(f"The header {name} came more than once.", code="webhook_repeated_header", status=400)
        return self.headers.get(name)


@dataclass(frozen=True, slots=True)
class Verified:
    """Proof that a delivery is authentic; made by `Scheme.verify` alone.

    ``dedupe_key`` is the same whenever the sender repeats this delivery (at most 255 printable ASCII characters), and made of
    authenticated parts, so that nobody can replay a delivery under another key. A sender that gives its hints no identity
    gets a key a delivery: a hint may be followed twice, never dropped. Where a body carries several events
    (`Scheme.batched`), a sender may deal them out anew: those are told apart by the keys of `Notice` and `Posted`.
    ``occurred_at``: when it happened or was sent, by the sender's clock; None where the sender does not say.
    """

    dedupe_key: str
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """One event that an external system posted: the payload itself is what happened.

    ``kind`` is the sender's own word for what it is ("" where it has none), ``data`` the event as parsed JSON, ``account`` the
    sender's id of the account it concerns. ``dedupe_key`` stays the same when the event is posted again, in whatever delivery.
    """

    kind: str
    data: Any
    dedupe_key: str
    occurred_at: datetime | None = None
    account: str | None = None


Item = Notice | Posted | RecordRejectedError
"""One thing that a delivery says; an error in the place of an event that cannot be understood, while the others can."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer with."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


class Carries(StrEnum):
    """What a delivery is to the hub."""

    HINT = "hint"  # names records, which are then read from the vendor: `Notice`
    DATA = "data"  # is itself what happened: `Posted`


POST: Final = frozenset({"POST"})
PATH_TOKEN: Final = "path_token"  # noqa: S105
"""Name of the secret that ends the path of an endpoint (``…/hooks/<endpoint>/<token>``) whose sender signs nothing."""

JWKS: Final = "jwks"
"""Name under which `Scheme.verify` finds the keys of `Scheme.keys_at`, as JSON."""


class Scheme(BaseModel, ABC):
    """How one kind of sender is recognised and understood. Its fields are an endpoint's settings that are not secret.

    ``secrets`` says which secrets an endpoint may need, for forms and the API's catalogue; `needed` which this one does.
    ``batched``: one body may carry several events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    label: ClassVar[str]
    docs_url: ClassVar[str]
    carries: ClassVar[Carries] = Carries.HINT
    secrets: ClassVar[tuple[Setting, ...]] = ()
    batched: ClassVar[bool] = False
    methods: ClassVar[frozenset[str]] = POST

    def needed(self) -> tuple[Setting, ...]:
        """The secrets without which nothing verifies under these settings."""
        return tuple(secret for secret in self.secrets if secret.required)

    def keys_at(self) -> str | None:
        """Where keys are published (a JWK set) that `verify` needs, and then finds as the secret `JWKS`; None: nowhere."""
        return None

    def kept_headers(self) -> tuple[str, ...]:
        """The headers, by lower-case name, to store with the body: `notices` needs them. No other has to be."""
        return ()

    def handshake(self, request: Incoming, secrets: Secrets, now: datetime) -> Reply | None:
        """The answer to a request that only asks whether this endpoint is there; None: it is a delivery.

        Raises Refused when the question itself has to be signed and is not.
        """
        del request, secrets, now
        return None

    @abstractmethod
    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        """Whose request this is and which delivery. ``now`` with a zone. Raises Refused, and nothing else."""

    def reply(self, request: Incoming) -> Reply:
        """What to answer once the delivery is committed."""
        del request
        return Reply()

    @abstractmethod
    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        """What a verified delivery is about. ``headers``: those of `kept_headers`, by lower-case name.

        Raises RecordRejectedError when the body as a whole is not what the sender documents. That, and errors among the
        items, belong into dead letters.
        """

    def describe(self) -> dict[str, Any]:
        """These settings as JSON, for storing; `scheme(name, …)` makes the same value of them."""
        return self.model_dump(mode="json")
