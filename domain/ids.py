"""UUIDv7 ids: fresh ones, and ones that a vendor record always gets, however often it is migrated."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from uuid import UUID

_MAX_MS = (1 << 48) - 1
_LOW = (1 << 60) - 1
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return _uuid7(time.time_ns() // 1_000_000, secrets.token_bytes(10))


def record_id(namespace: bytes, vendor_id: str, created_ms: int) -> UUID:
    """The id of the hub record that ``vendor_id`` creates.

    A pure function of its arguments, so that a create repeated after a crash meets its own primary key, and a migration
    resumed or run again on another database yields the same rows. ``namespace`` comes from `record_namespace`;
    ``created_ms`` is the vendor's creation time in Unix milliseconds (keeps ids ordered by time).
    """
    return _uuid7(created_ms, hashlib.blake2b(vendor_id.encode(), digest_size=10, key=namespace).digest())


def record_ids(namespace: bytes, vendor_ids: Sequence[str], created_ms: Sequence[int]) -> list[str]:
    """`record_id` of many records at once, as text."""
    keyed = hashlib.blake2b(digest_size=10, key=namespace).copy  # the key takes a block of its own: once
    result = []
    for vendor_id, ms in zip(vendor_ids, created_ms, strict=True):
        state = keyed()
        state.update(vendor_id.encode())
        digest = state.hexdigest()
        stamp = "%012x" % (ms if 0 <= ms <= _MAX_MS else min(max(ms, 0), _MAX_MS))
        variant = _VARIANT[digest[3]]
        result.append(f"{stamp[:8]}-{stamp[8:]}-7{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}")
    return result


def record_namespace(tenant_id: UUID, vendor: str, remote_account: str, vendor_object: str) -> bytes:
    """Key of `record_id`: the same remote account gives the same ids to the same tenant, whichever connection reads it."""
    text = "\x1f".join((str(tenant_id), vendor, remote_account, vendor_object))
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def _uuid7(ms: int, random: bytes) -> UUID:
    """``ms`` in front, then the first 76 of the random bits but for the two that tell the variant."""
    bits = int.from_bytes(random)
    stamp = ms if 0 <= ms <= _MAX_MS else min(max(ms, 0), _MAX_MS)
    return UUID(int=stamp << 80 | 7 << 76 | bits >> 68 << 64 | (8 | bits >> 64 & 3) << 60 | bits >> 4 & _LOW)
