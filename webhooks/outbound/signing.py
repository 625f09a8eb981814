"""Signatures of what is sent: Standard Webhooks, with every secret that is valid while one replaces another.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh secret in the form that receivers' libraries take."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(event_id: str, body: str, keys: Iterable[str], now: datetime) -> dict[str, str]:
    """The headers of a delivery: a signature for each of the secrets, the newest first."""
    # The library takes the moment's clock reading for UTC and writes whole seconds.
    moment = now.astimezone(UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(event_id, moment, body) for key in keys),
    }
