"""The contract between the hub and a vendor.

A connector is a class with a `Manifest` and three methods, `check`, `describe` and `read`; whatever else it can do it
says by implementing more protocols of this module. It is built from a `Connection` and never sees storage, the engine
or another vendor.

Errors: a connector raises only those of `domain.errors` (and bugs). Its messages hold no credential and no personal value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol, runtime_checkable

from domain.records import AccountInfo, Catalog, Cursor, Outgoing, Page, WriteResult

# ---------------------------------------------------------------- declaration


class AuthKind(StrEnum):
    NONE = "none"
    BASIC = "basic"
    API_KEY = "api_key"
    OAUTH2_CODE = "oauth2_code"  # authorization code with PKCE
    OAUTH2_CLIENT = "oauth2_client"  # client credentials
    OAUTH2_JWT = "oauth2_jwt"  # JWT bearer
    PASSWORD = "password"  # a vendor's own user name + password (+ token) login  # noqa: S105


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing a person fills in to connect. Secret ones are stored encrypted and never shown again."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = True
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """One way of signing in. URLs may contain ``{setting}`` placeholders."""

    kind: AuthKind
    settings: tuple[Setting, ...] = ()
    authorize_url: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``calls`` in ``per_s`` seconds for each remote account; ``scope`` separates budgets (search, bulk, …)."""

    calls: int
    per_s: float
    scope: str = "default"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A vendor object that the connector knows by name. ``entity``: the canonical entity its shipped mapping leads to.

    ``page_size``: records a listing brings at once; ``batch_size``: records a call writes; ``ids_size``: those that a call
    reads by id.
    """

    name: str
    entity: str | None = None
    writable: bool = False
    page_size: int = 100
    batch_size: int = 1
    ids_size: int = 100


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a connector is, as data. ``hosts``: patterns (``*.salesforce.com``) that credentials may be sent to."""

    name: str
    label: str
    auth: tuple[AuthMethod, ...]
    objects: tuple[ObjectInfo, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    hosts: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    visibility_lag: timedelta = timedelta(0)
    cursor_overlap: timedelta = timedelta(0)
    docs_url: str = ""


# ---------------------------------------------------------------- a connection


class TokenStore(Protocol):
    """Where rotating credentials live. The hub's is in PostgreSQL; `MemoryTokens` serves tests and one-off commands."""

    def load(self) -> Mapping[str, Any]:
        """The current credentials: settings and tokens."""

    def refresh(
        self, stale: str | None, exchange: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Replace the token ``stale`` by what ``exchange(current)`` returns, once, however many callers ask at once.

        Under a lock that holds across processes: if the stored access token is no longer ``stale``, return the stored
        credentials without an exchange. What ``exchange`` returns is committed before anyone uses it.
        """


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything a connector needs to talk to one remote account.

    ``settings`` holds what is not secret (instance address, folder of files, …), ``base_url`` redirects the connector to a
    sandbox (its host is then the only one allowed), ``budget`` says what share (0–1) of the vendor's daily quota may be used.
    ``limiter`` None: rate limits are counted within this process. ``cache``: a folder where a connector may keep what it
    can compute again; it may be emptied at any time.
    """

    id: str
    vendor: str
    settings: Mapping[str, str]
    tokens: TokenStore
    base_url: str | None = None
    budget: float = 0.8
    on_call: Callable[[CallRecord], None] | None = None
    limiter: RateLimiter | None = None
    cache: Path | None = None


class RateLimiter(Protocol):
    """Hands out start times of calls. The default counts within this process; one in PostgreSQL counts across workers."""

    def reserve(self, account: str, scope: str, limits: Sequence[RateLimit], max_wait_s: float) -> float:
        """Book one call and return the seconds to wait before making it.

        Raises RateLimitedError, booking nothing, when that is more than ``max_wait_s``.
        """

    def hold(self, account: str, scope: str, for_s: float) -> None:
        """Let nobody start within ``for_s`` seconds: the vendor asked for it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished HTTP call, for metrics and for counting quota. Never holds a header, a body or a query string.

    ``waited_s``: how long the call had to wait before it was made, so that the vendor's rate limit is kept.
    """

    method: str
    path: str
    status: int
    duration_s: float
    attempt: int = 1
    quota_used: int | None = None
    quota_limit: int | None = None
    waited_s: float = 0.0


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read. ``cursor`` None: from the beginning. ``fields`` None: every readable one.

    ``expected_count`` lets a connector choose between paging and a bulk export. ``ids``: only these records.
    ``deleted``: also report what was deleted since the cursor (``Page.deleted``), where the vendor can.
    """

    object: str
    fields: tuple[str, ...] | None = None
    cursor: Cursor | None = None
    expected_count: int | None = None
    ids: tuple[str, ...] | None = None
    deleted: bool = False
    limit: int | None = None


class Connector(Protocol):
    """The minimum: sign in, say what is there, list it."""

    manifest: ClassVar[Manifest]

    def __init__(self, connection: Connection) -> None: ...

    def check(self) -> AccountInfo:
        """Sign in and tell which account this is. Raises ReauthRequiredError, ConfigurationError, TransientError."""

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        """Schemas of ``objects``, or of every object that may be read."""

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """Pages of one object, in an order that makes every page's cursor a safe place to resume.

        A record may come twice (overlap, shifted pages), never not at all. Raises CursorExpiredError when ``cursor`` is too old.
        """

    def close(self) -> None:
        """Release sockets. The connector is not used afterwards."""


# ---------------------------------------------------------------- capabilities


@runtime_checkable
class SupportsCount(Protocol):
    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        """The vendor's own number of records of each object, in as few calls as it allows."""


@runtime_checkable
class SupportsUpsert(Protocol):
    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        """Create or update; one result a record, in the order given. ``key_field``: the vendor's external-id field.

        Raises only what concerns the whole batch; what concerns one record is in its result.
        """


@runtime_checkable
class SupportsDelete(Protocol):
    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """Delete; deleting what is already gone is a success."""


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Some ids of an object and, parallel to them, the vendor's versions. ``last``: the listing is complete with this page."""

    ids: list[str]
    versions: list[str]
    last: bool = False


@runtime_checkable
class SupportsVersions(Protocol):
    id_order: ClassVar[str]
    """How the vendor orders ids: ``numeric`` (9 before 10) or ``ascii`` (byte by byte)."""

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:
        """Id and version of every live record, in id order, as cheaply as the vendor allows; ``after``: beyond this id."""


@runtime_checkable
class SupportsCursorAt(Protocol):
    def cursor_at(self, object_name: str, moment: datetime) -> Cursor:
        """Where a read starts that must list whatever changed or was deleted at or after ``moment`` (with a zone)."""


@runtime_checkable
class SupportsFind(Protocol):
    def find(self, object_name: str, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key -> vendor id of the live records whose external-id field ``key_field`` holds one of ``keys``.

        Keys that nobody holds are absent.
        """


LABELS = "#labels"
"""Ends the name of a field that tells the labels of a list: see `Ends.labels_field`."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Records of ``target`` that records of an object are associated with, several at once.

    ``field`` brings their ids in a listing, joined by ``separator``. ``told``: whether a listing from a cursor brings a record
    of which only these changed. ``main``: whether the vendor calls one of them the main one, which is then told first; it is
    written as a field of its own, before the others are associated, and the former one stays among them.
    ``needs``: an object without which an account has no such lists. ``rarely``: only a full comparison asks for what no listing
    tells of them; otherwise every pass does, unless the listing tells all. ``labels``: whether the vendor tells and takes as
    what records are associated; ``single``: it has one label a pair.
    """

    field: str
    target: str
    separator: str = ";"
    told: bool = False
    main: bool = False
    needs: str | None = None
    rarely: bool = False
    labels: bool = False
    single: bool = False

    @property
    def labels_field(self) -> str:
        """The field of a listing that tells as what: a JSON object of the labels by associated id, '' where there are none."""
        return f"{self.field}{LABELS}"

    def asked(self, *, every: bool) -> bool:
        """Whether it is asked for beside listings: by a pass, or (``every``) by a full comparison."""
        return every if self.rarely else not self.told


@dataclass(frozen=True, slots=True)
class EndsChange:
    """Records to associate a record with, and to part it from, by their ids; what else it is associated with stays.

    ``label``, ``unlabel``: labels to give to pairs and to take off them, as (id, label); those that are taken off stay associated.
    """

    vendor_id: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    label: tuple[tuple[str, str], ...] = ()
    unlabel: tuple[tuple[str, str], ...] = ()

    @property
    def says_nothing(self) -> bool:
        return not (self.add or self.remove or self.label or self.unlabel)


@runtime_checkable
class SupportsLabels(Protocol):
    """What connectors of labelled associations have besides: see `Ends.labels`."""

    def labels(self, object_name: str, field: str) -> Sequence[str]:
        """The labels that the account has for these pairs."""

    def labelled(
        self, object_name: str, field: str, vendor_ids: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """As `SupportsAssociations.associated`, with the labels of each pair."""


@runtime_checkable
class SupportsAssociations(Protocol):
    several: ClassVar[Mapping[str, tuple[Ends, ...]]]
    """By object, what its records are associated with."""

    def associated(self, object_name: str, field: str, vendor_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The ids that ``field`` holds for each of these records now; records without any are absent."""

    def associate(self, object_name: str, field: str, changes: Sequence[EndsChange]) -> list[WriteResult]:
        """Associate and part; one result a change, in order. Doing it twice is doing it once.

        Raises only what concerns the whole batch; what concerns one record is in its result.
        """


@dataclass(frozen=True, slots=True)
class View:
    """An object that holds the same records as another one, ``of``, under the same ids, and stands for a part of them.

    A record is of the part while its ``field`` has one of the values ``inside``, unless a stream names others. The connector lists
    all records of both objects: one that moves from one part to the other is gone from neither. ``enters``: the value that records
    get which are made in the part; ``leaves``: the one with which a record is moved over, and with which others are made.
    """

    of: str
    field: str
    inside: tuple[str, ...]
    enters: str
    leaves: str


@runtime_checkable
class SupportsViews(Protocol):
    views: ClassVar[Mapping[str, View]]
    """By object. None of them is described unless it is asked for, or migrated: what it holds, its ``of`` holds as well."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What can be known of a file before it is read."""

    vendor_id: str
    name: str
    content_type: str = "application/octet-stream"
    size_bytes: int | None = None
    parents: tuple[tuple[str, str], ...] = field(default=())  # (vendor object, vendor id)


@runtime_checkable
class SupportsFiles(Protocol):
    file_objects: ClassVar[tuple[str, ...]]
    """Objects whose records carry content (ContentVersion, Attachment, …)."""

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """The content in pieces of at most 1 MiB."""

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """Store a file at the vendor and attach it to ``info.parents``."""


class Signal(StrEnum):
    """What a vendor says of its notifications themselves rather than of a record."""

    REAUTHORIZE = "reauthorize"  # the subscription is about to lose its authorization
    REMOVED = "removed"  # the subscription is gone; make another, and compare
    MISSED = "missed"  # notifications were lost; compare
    STARTED = "started"  # the subscription begins; nothing changed yet


@dataclass(frozen=True, slots=True)
class Notice:
    """A vendor's hint that a record may have changed.

    ``vendor_id`` "": something of the object changed, and its cursor finds what. ``account``: the vendor's id of the remote account
    (portal, realm, organisation, mailbox, subscription), by which the connection is found. ``dedupe_key`` stays the same when
    the vendor repeats the event, in whatever delivery. ``signal``: this is about the subscription ``vendor_id``, not a record.
    """

    object: str
    vendor_id: str
    occurred_at: datetime | None = None
    deleted: bool = False
    dedupe_key: str | None = None
    account: str | None = None
    signal: Signal | None = None


@runtime_checkable
class SupportsWebhooks(Protocol):
    def parse(self, headers: Mapping[str, str], body: bytes, url: str) -> Iterable[Notice]:
        """Verify a delivery over its raw bytes and list its notices. Raises ConfigurationError when it does not verify."""
