"""Public addresses of endpoints: ``/hooks/<ref>``, and ``/hooks/<ref>/<token>`` where the sender signs nothing.

The ref names tenant and endpoint, so that a lookup never leaves the tenant's own transaction. It is no secret: what is posted
still has to verify.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Final
from uuid import UUID

PREFIX: Final = "/hooks/"
_REF_LENGTH: Final = 43
_BYTES: Final = 32


def ref_of(tenant_id: UUID, endpoint_id: UUID) -> str:
    """43 characters that are safe in a path."""
    return base64.urlsafe_b64encode(tenant_id.bytes + endpoint_id.bytes).rstrip(b"=").decode()


@lru_cache(maxsize=4_096)
def parse_ref(ref: str) -> tuple[UUID, UUID] | None:
    """The (tenant, endpoint) that a ref names; None for what cannot be one. Nothing is looked up."""
    if len(ref) != _REF_LENGTH:
        return None
    try:
        raw = base64.b64decode(ref + "=", b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _BYTES:  # padding in the place of the last character is accepted, too
        return None
    tenant, endpoint = UUID(bytes=raw[:16]), UUID(bytes=raw[16:])
    return (tenant, endpoint) if ref_of(tenant, endpoint) == ref else None


def url_of(public_url: str, tenant_id: UUID, endpoint_id: UUID, token: str | None = None) -> str:
    """What to tell the sender to call. ``public_url`` without a slash at the end."""
    url = f"{public_url}{PREFIX}{ref_of(tenant_id, endpoint_id)}"
    return f"{url}/{token}" if token else url
