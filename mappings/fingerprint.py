"""Digests of records as a vendor sent them: equal digests mean that nothing the mapping reads has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import orjson

from mappings.compile import Lens


def fingerprints(lens: Lens, fields: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> list[bytes]:
    """16 bytes a record, over the fields that the lens reads and over the mapping's own version."""
    read = set(lens.source_fields)
    kept = [i for i, name in enumerate(fields) if name in read]
    pick = itemgetter(*kept) if 1 < len(kept) < len(fields) else None
    salt = lens.version.encode()[:64]
    keyed = hashlib.blake2b(digest_size=16, key=salt).copy  # the key takes a block of its own: once
    digests = []
    for row in rows:
        digest = keyed()
        digest.update(_raw_bytes(pick(row) if pick else row))
        digests.append(digest.digest())
    return digests


def _raw_bytes(row: Sequence[Any]) -> bytes:
    """A record as bytes: quick for rows of text, exact for any JSON."""
    try:
        return "\x1f".join(row).encode("utf-8", "surrogatepass")
    except TypeError:
        return orjson.dumps(list(row), default=repr, option=orjson.OPT_PASSTHROUGH_DATETIME)
