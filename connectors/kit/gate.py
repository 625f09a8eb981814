"""Everything between a connector and the wire, whatever HTTP library sends the bytes.

One attempt: circuit breaker, daily quota, rate limit, send, telemetry, verdict. Attempts are repeated by the retry policy.
`http.VendorClient` (httpx) and `sdk.KitSession` (requests) are two ways of sending through the same gate.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

import tenacity

from connectors.kit.breaker import Breaker, State
from connectors.kit.contract import CallRecord, Connection, Manifest, RateLimit, RateLimiter
from connectors.kit.faults import Again, ErrorTable, Fault, Rule, safe_code, safe_path
from connectors.kit.hosts import HostPolicy, origin_of
from connectors.kit.limits import ProcessLimiter, QuotaLedger, ReadQuota
from connectors.kit.retry import IDEMPOTENT_METHODS, RetryPolicy, retry_after_s
from domain.errors import RateLimitedError, SynclineError, TransientError

T = TypeVar("T")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Lost(StrEnum):
    """How a call can fail without an answer."""

    NOT_SENT = "not_sent"  # certainly not processed: no connection was made
    AMBIGUOUS = "ambiguous"  # the vendor may have processed it


@dataclass(frozen=True, slots=True)
class Call:
    """What is about to be sent. ``url`` is absolute and already allowed; ``idempotent`` None: as its method usually is."""

    method: str
    url: str
    scope: str = "default"
    idempotent: bool | None = None

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.method.upper() in IDEMPOTENT_METHODS if self.idempotent is None else self.idempotent


@dataclass(slots=True)
class Attempt(Generic[T]):
    """How one attempt ended: an answer (``status``, ``value``), or ``lost`` and in plain words ``why``.

    ``refusal`` is the sending library's form of an answer that is an error, for callers that handle it themselves.
    ``ambiguous``: this attempt or one before it may have written something although no success was seen.
    """

    value: T | None = None
    refusal: Any = None
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    error_body: bytes = b""
    lost: Lost | None = None
    why: str = ""
    rule: Rule | None = None
    fault: Fault | None = None
    number: int = 1
    ambiguous: bool = False

    @property
    def retry_after_s(self) -> float | None:
        if self.fault is not None and self.fault.retry_after_s is not None:
            return self.fault.retry_after_s
        return retry_after_s(self.headers)


@dataclass(slots=True)
class Shared:
    """What connections of one process share: circuits, counted calls, known quotas."""

    limiter: RateLimiter = field(default_factory=ProcessLimiter)
    breaker: Breaker = field(default_factory=Breaker)
    quotas: QuotaLedger = field(default_factory=QuotaLedger)


PROCESS = Shared()
_AT = "@"


def circuits(shared: Shared = PROCESS) -> Iterator[tuple[str, str, State]]:
    """The circuits of this process: connection id, origin that is called, state."""
    for key, state in shared.breaker.states().items():
        account, _, origin = key.partition(_AT)
        yield account.split(":")[1], origin, state


@dataclass(slots=True)
class Gate:
    """The policies of one connection. ``account`` names the remote account that limits and quota belong to."""

    hosts: HostPolicy
    account: str
    errors: ErrorTable = field(default_factory=ErrorTable)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: tuple[RateLimit, ...] = ()
    shared: Shared = field(default_factory=Shared)
    budget: float = 1.0
    read_quota: ReadQuota | None = None
    on_call: Callable[[CallRecord], None] | None = None
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.SystemRandom)

    @classmethod
    def of(cls, manifest: Manifest, connection: Connection, **changes: Any) -> Gate:
        """The gate of ``connection`` to the vendor of ``manifest``; ``changes`` override single policies."""
        shared = PROCESS
        if connection.limiter is not None:
            shared = Shared(connection.limiter, PROCESS.breaker, PROCESS.quotas)
        given: dict[str, Any] = {
            "hosts": HostPolicy.of(manifest, connection),
            "account": f"{manifest.name}:{connection.id}",
            "errors": ErrorTable(vendor=manifest.label),
            "limits": manifest.rate_limits,
            "shared": shared,
            "budget": connection.budget,
            "on_call": connection.on_call,
        }
        return cls(**(given | changes))

    def run(self, call: Call, send: Callable[[], Attempt[T]]) -> Attempt[T]:
        """Make ``call`` by ``send``, again where policy and verdict allow it, and return the last attempt.

        ``send`` never raises for what the network or vendor did: it reports an `Attempt`. Raises RateLimitedError and
        TransientError (code ``circuit_open``) before anything is sent.
        """
        history = _History(time.monotonic())

        def once() -> Attempt[T]:
            history.attempts += 1
            attempt = self._attempt(call, send, history.attempts)
            history.ambiguous |= self._may_have_happened(call, attempt)
            attempt.ambiguous = history.ambiguous
            return attempt

        return tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda a: self._again(call, a)),
            stop=lambda state: self._stops(state, history),
            wait=lambda state: self._wait(state),
            sleep=self.sleep,
            retry_error_callback=_last_attempt,
        )(once)

    def settle(self, call: Call, attempt: Attempt[T]) -> T:
        """The value of a successful attempt; otherwise raise the error that says what happens next."""
        if attempt.lost is None and attempt.rule is None and attempt.value is not None:
            return attempt.value
        raise self.error(call, attempt)

    def error(self, call: Call, attempt: Attempt[Any]) -> SynclineError:
        """The error of a failed attempt. Its context has status, vendor_code, method, path, attempts and ambiguous."""
        rule = attempt.rule or Rule(TransientError, "could not be reached", "Try again later.")
        context = {
            "method": call.method,
            "path": safe_path(call.url),
            "status": attempt.status,
            "attempts": attempt.number,
            "ambiguous": attempt.ambiguous,
        }
        if attempt.fault is not None:
            context["vendor_code"] = safe_code(attempt.fault.code)
            context["fields"] = list(attempt.fault.fields)
        kwargs: dict[str, Any] = {"remedy": rule.remedy, "context": context, "code": rule.code}
        if issubclass(rule.error, TransientError):
            kwargs["retry_after_s"] = attempt.retry_after_s
        return rule.error(self._sentence(rule, call, attempt, context), **kwargs)

    def _sentence(self, rule: Rule, call: Call, attempt: Attempt[Any], context: Mapping[str, Any]) -> str:
        what = f"{context['method']} {context['path']}"
        if attempt.lost is not None:
            return f"{self.errors.vendor} gave no answer at {origin_of(call.url)} to {what}: {attempt.why}."
        code = f", {context['vendor_code']}" if "vendor_code" in context else ""
        return f"{self.errors.vendor} {rule.says} ({what} answered {attempt.status}{code})."

    def _attempt(self, call: Call, send: Callable[[], Attempt[T]], number: int) -> Attempt[T]:
        circuit = f"{self.account}{_AT}{origin_of(call.url)}"
        self.shared.quotas.require(self.account, self.budget)
        limits = [limit for limit in self.limits if limit.scope == call.scope]
        wait = self.shared.limiter.reserve(self.account, call.scope, limits, self.retry.retry_after_max_s)
        if wait > 0:
            self.sleep(wait)
        self.shared.breaker.enter(circuit)
        started = time.monotonic()
        try:
            attempt = send()
        except SynclineError:  # an answer that is refused outright: a foreign redirect, a bomb
            self.shared.breaker.report(circuit, ok=True)
            self._tell(call, Attempt(number=number), time.monotonic() - started, wait)
            raise
        attempt.number = number
        self.shared.breaker.report(circuit, ok=attempt.lost is None and attempt.status < 500)
        self._judge(attempt)
        self._tell(call, attempt, time.monotonic() - started, wait)
        self._slow_down(call, attempt)
        return attempt

    def _judge(self, attempt: Attempt[Any]) -> None:
        if attempt.lost is not None:
            return
        if attempt.status >= 400:
            attempt.fault = self.errors.fault(attempt.status, attempt.headers, attempt.error_body)
        attempt.rule = self.errors.rule(attempt.status, attempt.fault.code if attempt.fault else None)

    def _tell(self, call: Call, attempt: Attempt[Any], duration_s: float, waited_s: float) -> None:
        quota = self.read_quota(attempt.headers) if self.read_quota and attempt.status else None
        if quota is not None:
            self.shared.quotas.note(self.account, *quota)
        if self.on_call is not None:
            used, limit = quota or (None, None)
            path = safe_path(call.url)
            self.on_call(
                CallRecord(call.method, path, attempt.status, duration_s, attempt.number, used, limit, waited_s)
            )

    def _slow_down(self, call: Call, attempt: Attempt[Any]) -> None:
        if attempt.rule is not None and issubclass(attempt.rule.error, RateLimitedError) and attempt.retry_after_s:
            self.shared.limiter.hold(self.account, call.scope, attempt.retry_after_s)

    def _again(self, call: Call, attempt: Attempt[Any]) -> bool:
        if attempt.lost is not None:
            return attempt.lost is Lost.NOT_SENT or call.repeatable
        match attempt.rule.again if attempt.rule else Again.NEVER:
            case Again.UNPROCESSED:
                return True
            case Again.UNPROCESSED_IF_TOLD:
                return call.repeatable or attempt.retry_after_s is not None
            case Again.IDEMPOTENT:
                return call.repeatable
            case _:
                return False

    def _may_have_happened(self, call: Call, attempt: Attempt[Any]) -> bool:
        """Whether this attempt may have written something although no success was seen."""
        if call.method.upper() in _READING:
            return False
        if attempt.lost is not None:
            return attempt.lost is Lost.AMBIGUOUS
        again = attempt.rule.again if attempt.rule else Again.NEVER
        told = again is Again.UNPROCESSED_IF_TOLD and attempt.retry_after_s is not None
        return (attempt.status >= 500 or attempt.status == 408) and again is not Again.UNPROCESSED and not told

    def _stops(self, state: tenacity.RetryCallState, history: _History) -> bool:
        attempt = _last_attempt(state)
        elapsed = time.monotonic() - history.started
        return self.retry.gives_up(state.attempt_number, elapsed, attempt.retry_after_s)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        return self.retry.wait_s(state.attempt_number, _last_attempt(state).retry_after_s, self.rng)


@dataclass(slots=True)
class _History:
    started: float
    attempts: int = 0
    ambiguous: bool = False


def _last_attempt(state: tenacity.RetryCallState) -> Attempt[Any]:
    assert state.outcome is not None  # noqa: S101 - tenacity asks only after an attempt
    attempt: Attempt[Any] = state.outcome.result()
    return attempt
