"""How often a caller may call, agreed between processes: each takes a few tokens at once out of a bucket in the database.

And how often an address may fail to sign in, counted there, too.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID

from api.errors import ApiError
from storage import rates
from storage.database import Connection, Database
from storage.failed_sign_ins import Tries

_CALLERS_MAX = 10_000
_LAPSES_S = 10.0
_ADDRESSES_MAX = 10_000
_KNOWN_FOR_S = 600.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ``RateLimit-*`` headers of an answer say."""

    limit: int
    remaining: int
    reset_s: int
    allowed: bool = True

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


@dataclass(slots=True)
class _Held:
    tokens: int = 0
    left: int = 0
    until: float = 0.0
    calls: int = 0


class Limiter:
    """Token buckets that hold ``burst`` calls and fill at ``per_minute``. Thread-safe.

    A process takes up to a twentieth of a burst at once, so that most calls cost the database nothing; what it does not use
    within ten seconds lapses. Calls are counted where tokens are taken: what a killed process had counted since is not told.
    """

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._burst = burst
        self._chunk = max(1, burst // 20)
        self._clock = clock
        self._held: OrderedDict[tuple[UUID, str], _Held] = OrderedDict()
        self._lock = Lock()

    def take(self, conn: Connection, tenant_id: UUID, caller: str) -> Standing:
        """Take one call, in a transaction of the tenant. `require` refuses what is not allowed, once that is committed."""
        now = self._clock()
        with self._lock:
            held = self._of((tenant_id, caller))
            if held.tokens > 0 and now < held.until:
                held.tokens -= 1
                held.calls += 1
                return self._standing(held)
            counted, held.calls = held.calls, 0
        granted = rates.lease(conn, caller, self._chunk, per_s=self._per_s, burst=self._burst)
        let_through = counted + (granted.tokens > 0)
        if let_through:
            rates.count(conn, datetime.now(UTC).date(), {caller: let_through})
        if granted.tokens == 0:
            return Standing(self._burst, 0, max(1, math.ceil(granted.wait_s)), allowed=False)
        with self._lock:
            held = self._of((tenant_id, caller))
            held.tokens, held.left, held.until = granted.tokens - 1, granted.left, now + _LAPSES_S
            return self._standing(held)

    def count(self, conn: Connection, tenant_id: UUID) -> None:
        """Add to the tenant's usage what this process has counted and not told yet."""
        with self._lock:
            mine = [(caller, held) for (tenant, caller), held in self._held.items() if tenant == tenant_id]
            counted = {caller: held.calls for caller, held in mine if held.calls}
            for caller in counted:
                self._held[tenant_id, caller].calls = 0
        rates.count(conn, datetime.now(UTC).date(), counted)

    def _of(self, who: tuple[UUID, str]) -> _Held:
        held = self._held.setdefault(who, _Held())
        self._held.move_to_end(who)
        if len(self._held) > _CALLERS_MAX:
            self._held.popitem(last=False)
        return held

    def _standing(self, held: _Held) -> Standing:
        remaining = min(self._burst, held.tokens + held.left)
        return Standing(self._burst, remaining, math.ceil((self._burst - remaining) / self._per_s))


def require(standing: Standing) -> None:
    """Raise ApiError 429 where no call was left."""
    if not standing.allowed:
        raise ApiError(
            429,
            "too_many_calls",
            "This caller has used up its calls for the moment.",
            remedy="Go on after the seconds in Retry-After, and spread calls evenly.",
            headers={"Retry-After": str(standing.reset_s)},
        )


@dataclass(slots=True)
class _Refused:
    left: float
    at: float


class Strangers:
    """Limits failed sign-ins of an address: ``per_minute`` in one go, and as many a minute for long. Thread-safe.

    All processes share the count, which stands in the database. It is asked for once when a key or token is new here, and written
    when one fails; who signed in from there within the last ten minutes costs nothing, and goes on undisturbed, whatever others at
    the same address try. While an address has to wait, it is refused by heart. Memory is bounded: of too many addresses the ones
    that were quiet for longest are forgotten. IPv6 counts by network (/64).
    """

    def __init__(
        self, per_minute: int, db: Callable[[], Database], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._per_s, self._db, self._clock = float(per_minute), per_minute / 60, db, clock
        self._refused: OrderedDict[str, _Refused] = OrderedDict()
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._lock = Lock()

    def require(self, address: str, credential: str) -> None:
        """Raise ApiError 429, before anything else is looked up, where too many tries from there failed."""
        now, network = self._clock(), network_of(address)
        with self._lock:
            if self._known.get(_digest(address, credential), 0.0) > now:
                return
            left = self._by_heart(network, now)
        if left >= 1:
            left = self._tries.left(network)
            self._note(network, left)
        if left < 1:
            raise ApiError(
                429,
                "too_many_failures",
                "Too many calls from this address had no valid key or token.",
                remedy="Mend the key or token, then go on after the seconds in Retry-After.",
                headers={"Retry-After": str(max(1, math.ceil((1 - left) / self._per_s)))},
            )

    def failed(self, address: str) -> None:
        """Count a try that failed."""
        network = network_of(address)
        self._note(network, self._tries.fail(network))

    def succeeded(self, address: str, credential: str) -> None:
        """Remember who signed in, as a digest."""
        who = _digest(address, credential)
        with self._lock:
            self._known[who] = self._clock() + _KNOWN_FOR_S
            self._known.move_to_end(who)
            while len(self._known) > _CALLERS_MAX:
                self._known.popitem(last=False)

    @property
    def _tries(self) -> Tries:
        return Tries(self._db(), self._most, self._per_s)

    def _by_heart(self, network: str, now: float) -> float:
        """What an address has left at most; others may have failed there since."""
        known = self._refused.get(network)
        return self._most if known is None else known.left + (now - known.at) * self._per_s

    def _note(self, network: str, left: float) -> None:
        with self._lock:
            self._refused.pop(network, None)
            if left < 1:
                self._refused[network] = _Refused(left, self._clock())
            while len(self._refused) > _ADDRESSES_MAX:
                self._refused.popitem(last=False)


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the network that one customer has of IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _digest(address: str, credential: str) -> bytes:
    return hashlib.sha256(f"{network_of(address)}\x1f{credential}".encode()).digest()
