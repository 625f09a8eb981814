"""An unsafe call as one unit of work: its change, its audit entries and its kept answer are committed together, or none is.

The transaction that a handler works in stays open until its answer is rendered. Only an answer below 400 commits; then, where
the caller sent an ``Idempotency-Key``, the answer goes into the same transaction as the change. So a crash at any moment
leaves either nothing (the call can be made again once the lease ended) or the change with its answer (it is replayed).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
from fastapi import Request
from fastapi.responses import Response

from api import errors
from api.errors import ApiError
from domain.errors import SynclineError
from storage import idempotency
from storage.database import Connection
from storage.failures import translated
from storage.idempotency import Answered, Busy, Claimed, Different

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bootstrap.wiring import Hub

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LEASE_S = 60.0
"""How long an attempt may take before a retry is let through; an attempt that is slower commits nothing."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = frozenset({"content-type", "location", "etag"})


@dataclass(slots=True)
class Claim:
    """An idempotency key that this attempt holds."""

    hub: Hub
    tenant_id: UUID
    caller: str
    key: str
    attempt: UUID


@dataclass(slots=True)
class Unit:
    """One unsafe call. ``key`` is what the caller sent as Idempotency-Key; ``request_hash`` covers method, address and body."""

    key: str | None
    request_hash: bytes
    claim: Claim | None = None
    after: list[Callable[[], None]] = field(default_factory=list)
    _open: AbstractContextManager[Connection] | None = None
    _conn: Connection | None = None

    def begin(self, hub: Hub, tenant_id: UUID, caller: str) -> None:
        """Claim the key for this attempt. Raises `ReplayError` where the call was made already, and ApiError 400, 409 or 422."""
        if self.key is None or self.claim is not None:
            return
        if not _KEY.fullmatch(self.key):
            raise ApiError(
                400,
                "bad_idempotency_key",
                f"{HEADER} must be 1 to 255 printable ASCII characters without spaces.",
                remedy="Send a UUID.",
            )
        with hub.db.tenant(tenant_id) as conn:
            found = idempotency.claim(conn, caller, self.key, self.request_hash, LEASE_S)
        match found:
            case Claimed(attempt):
                self.claim = Claim(hub, tenant_id, caller, self.key, attempt)
            case Answered():
                raise ReplayError(_replayed(hub, tenant_id, found))
            case Busy(retry_after_s):
                raise _in_progress(retry_after_s)
            case Different():
                raise ApiError(
                    422,
                    "idempotency_key_reused",
                    f"This {HEADER} was used for another request.",
                    remedy="Use a new one for each request; repeat one only with the very same request.",
                )

    @contextmanager
    def transaction(self, hub: Hub, tenant_id: UUID) -> Iterator[Connection]:
        """The call's one transaction; a second block joins it, and what fails in a block is undone with that block."""
        if self._conn is not None:
            with translated(), self._conn.begin_nested():
                yield self._conn
            return
        opened = hub.db.tenant(tenant_id)
        conn = opened.__enter__()
        self._open, self._conn = opened, conn
        try:
            yield conn
        except BaseException as error:
            self._open = self._conn = None
            _roll_back(opened, error)
            raise

    def commit(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Make the change stand, with the answer beside it. Raises ApiError 409 where another attempt took over; TransientError."""
        claim, opened, conn = self.claim, self._open, self._conn
        self._open = self._conn = None
        if claim is not None and conn is None:
            opened = claim.hub.db.tenant(claim.tenant_id)
            conn = opened.__enter__()
        if opened is None or conn is None:
            return
        try:
            if claim is not None:
                _keep(conn, claim, status, headers, body)
        except BaseException as error:
            _roll_back(opened, error)
            raise
        opened.__exit__(None, None, None)

    def undo(self) -> None:
        """Roll the transaction back."""
        opened, self._open, self._conn = self._open, None, None
        if opened is not None:
            _roll_back(opened, _UndoneError())

    def release(self) -> None:
        """Roll back and let the call be made again."""
        self.undo()
        claim = self.claim
        if claim is not None:
            with claim.hub.db.tenant(claim.tenant_id) as conn:
                idempotency.free(conn, claim.caller, claim.key, claim.attempt)


class ReplayError(Exception):
    """The call was made before; ``response`` is what was answered then."""

    def __init__(self, response: Response) -> None:
        super().__init__("replayed")
        self.response = response


class _UndoneError(Exception):
    """Ends a transaction without committing it."""


class Units:
    """Gives each unsafe call its `Unit`, commits it before the answer leaves, and turns what nobody expected into a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if scope["method"] in UNSAFE:
            key = request.headers.get(HEADER)
            unit = scope["state"]["unit"] = Unit(key, request_hash(request))
            send = _Answer(request, unit, send)
        began = False

        async def told(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            if began:
                raise
            await (await errors.bug(request, error))(scope, receive, send)
        finally:
            if isinstance(send, _Answer):
                await send.abandoned()


class _Answer:
    """Holds the answer of an unsafe call back until what it tells of is committed."""

    def __init__(self, request: Request, unit: Unit, send: Send) -> None:
        self._request = request
        self._unit = unit
        self._send = send
        self._held: list[Message] = []
        self._settled = False

    async def __call__(self, message: Message) -> None:
        self._held.append(message)
        if message["type"] != "http.response.body" or message.get("more_body", False):
            return
        held, self._held, self._settled = self._held, [], True
        status = held[0]["status"]
        try:
            await anyio.to_thread.run_sync(self._settle, status, held)
        except SynclineError as error:
            await self._refuse(await errors.expected(self._request, error))
            return
        except Exception as error:
            await self._refuse(await errors.bug(self._request, error))
            return
        for part in held:
            await self._send(part)
        for callback in self._unit.after if status < 400 else ():
            await anyio.to_thread.run_sync(callback)

    async def abandoned(self) -> None:
        """Give back what a call holds that ended without an answer."""
        if not self._settled:
            self._settled = True
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._unit.release)

    def _settle(self, status: int, held: list[Message]) -> None:
        if status >= 400:
            self._unit.release()
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in held[0].get("headers", ())}
        body = b"".join(part.get("body", b"") for part in held[1:])
        try:
            self._unit.commit(status, headers, body)
        except Exception:
            self._unit.release()
            raise

    async def _refuse(self, response: Response) -> None:
        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await response(self._request.scope, nothing, self._send)


def request_hash(request: Request) -> bytes:
    """What makes two requests the same: method, path, query, the tenant that is meant, and the body."""
    parts = (
        request.method.encode(),
        request.scope.get("raw_path") or request.scope["path"].encode(),
        request.scope.get("query_string", b""),
        request.headers.get("syncline-tenant", "").encode(),
        getattr(request.state, "body_digest", b""),
    )
    return hashlib.sha256(b"\x1f".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _keep(conn: Connection, claim: Claim, status: int, headers: Mapping[str, str], body: bytes) -> None:
    sealed = claim.hub.vault.seal(claim.tenant_id, claim.attempt, {"body": base64.b64encode(body).decode()})
    kept = {name: value for name, value in headers.items() if name.lower() in _KEPT_HEADERS}
    answer = Answered(claim.attempt, status, kept, sealed)
    if not idempotency.finish(conn, claim.caller, claim.key, claim.attempt, answer):
        raise _in_progress(1.0)


def _replayed(hub: Hub, tenant_id: UUID, found: Answered) -> Response:
    if found.body is None:
        raise ApiError(
            410,
            "answer_erased",
            "This call was made, and its answer told of a person who was erased since.",
            remedy="Nothing is left to read; it is not made again.",
        )
    try:
        body = base64.b64decode(hub.vault.open(tenant_id, found.attempt, found.body)["body"])
    except SynclineError:
        raise ApiError(
            409,
            "answer_unreadable",
            "This call was made, and its answer can no longer be read: the master key that sealed it is gone.",
            remedy="Look up what it changed; it is not made again.",
        ) from None
    return Response(body, found.status, {**found.headers, REPLAYED: "true"})


def _in_progress(retry_after_s: float) -> ApiError:
    return ApiError(
        409,
        "idempotency_in_progress",
        f"A request with this {HEADER} is being carried out, or was interrupted a moment ago.",
        remedy="Send it again after the seconds in Retry-After.",
        headers={"Retry-After": str(max(1, round(retry_after_s + 0.5)))},
    )


def _roll_back(opened: AbstractContextManager[Connection], error: BaseException) -> None:
    """Raises what ``error`` stands for where it is one of the database's."""
    opened.__exit__(type(error), error, error.__traceback__)
