"""The keys that an identity provider publishes (JWK sets, RFC 7517): from the one configured address or file, and nowhere else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from connectors.kit.decode import ACCEPT_ENCODING, BodyCap, bounded
from connectors.kit.hosts import is_loopback
from connectors.kit.outward import Poster
from domain.errors import ConfigurationError, TransientError

_BYTES_MAX = 256 << 10
_CAP = BodyCap(bytes_max=_BYTES_MAX, total_s=10.0)
_TIMEOUT_S = 5.0
_FRESH_S = 3_600.0
_FRESH_MAX_S = 86_400.0
_AGAIN_AFTER_S = 60.0
_FIRST_AGAIN_AFTER_S = 6.0
_HELD_MAX_S = 86_400.0
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    """A key set as it came. ``fresh_s``: for how long its publisher says that it holds; None where that is not said."""

    body: bytes
    fresh_s: float | None = None


Fetch = Callable[[str], Document]
"""Reads the document at an address. Raises TransientError."""


class PublishedKeys:
    """A JWK set by address (https, or this machine) or by path: kept as long as its publisher says, an hour where it does not,
    and read again at most once a minute, however many tokens name keys that are unknown.

    While nobody answers, keys that were had before stay in use for a day. ``fetch`` reads an address instead of plain HTTP;
    what it may reach is then its own business. Raises ConfigurationError for an address that is neither. Thread-safe.
    """

    def __init__(
        self,
        place: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._place = place
        self._clock = clock
        self._transport = transport
        self._fetch = fetch or (self._fetched if "://" in place else self._from_file)
        self._lock = Lock()
        self._keys: list[Mapping[str, Any]] | None = None
        self._tried_at = self._read_at = self._fresh_until = float("-inf")
        self._failed = False
        if fetch is None and "://" in place:
            _check(place)

    def due(self, *, renew: bool = False) -> bool:
        """Whether `current` (or, with ``renew``, `renewed`) would read anew, and so may take seconds."""
        now = self._clock()
        floor = _AGAIN_AFTER_S if self._keys is not None else _FIRST_AGAIN_AFTER_S
        return now - self._tried_at > floor and (renew or self._keys is None or now >= self._fresh_until)

    def current(self) -> list[Mapping[str, Any]]:
        """The keys as last published. Raises TransientError (code ``bad_jwks``) where there are none to be had."""
        self.refresh()
        return self.held()

    def renewed(self) -> list[Mapping[str, Any]]:
        """The keys, read again unless that was tried within the last minute: for a token that names an unknown one.

        Raises TransientError where they could not be read, so that nobody can say whether there is such a key.
        """
        self.refresh(renew=True)
        return self.held(surely=True)

    def refresh(self, renew: bool = False) -> None:
        """Read where that is `due`; a failure shows in what is asked for next.

        Who only wants keys that are fresh does not wait for another who reads already.
        """
        if self.due(renew=renew) and self._lock.acquire(blocking=renew or self._keys is None):
            try:
                if self.due(renew=renew):
                    self._read()
            finally:
                self._lock.release()

    def held(self, *, surely: bool = False) -> list[Mapping[str, Any]]:
        """The keys as they are known, without reading.

        Raises TransientError where there are none, or too old ones; with ``surely`` also where the last try to read failed.
        """
        keys, until = self._keys, max(self._fresh_until, self._read_at + _HELD_MAX_S)
        if keys is None or self._clock() > until or (surely and self._failed):
            raise _unusable()
        return keys

    def _read(self) -> None:
        try:
            found = self._fetch(self._place)
            keys: list[Mapping[str, Any]] = [key for key in orjson.loads(found.body)["keys"] if isinstance(key, dict)]
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError, TransientError, ConfigurationError):
            self._failed = True
            return
        finally:
            self._tried_at = self._clock()
        fresh_s = _FRESH_S if found.fresh_s is None else min(max(found.fresh_s, _AGAIN_AFTER_S), _FRESH_MAX_S)
        self._keys, self._failed, self._read_at = keys, False, self._tried_at
        self._fresh_until = self._tried_at + fresh_s

    def _from_file(self, path: str) -> Document:
        return Document(Path(path).read_bytes())

    def _fetched(self, address: str) -> Document:
        headers = {"Accept": "application/json", "Accept-Encoding": ACCEPT_ENCODING}
        with (
            httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, transport=self._transport) as client,
            client.stream("GET", address, headers=headers) as reply,
        ):
            if reply.status_code != httpx.codes.OK:
                raise _unusable()
            body = b"".join(bounded(reply.iter_raw(), reply.headers.get("Content-Encoding", ""), _CAP))
            return Document(body, fresh_for_s({name.title(): value for name, value in reply.headers.items()}))


def outward(poster: Poster) -> Fetch:
    """Reads from addresses that customers choose: those that ``poster`` may reach, and no others."""

    def fetch(address: str) -> Document:
        answer = poster.get(address, {"Accept": "application/json"}, _BYTES_MAX)
        if answer.status != httpx.codes.OK:
            raise _unusable()
        return Document(answer.excerpt.encode(), fresh_for_s(answer.headers))

    return fetch


def fresh_for_s(headers: Mapping[str, str]) -> float | None:
    """For how many seconds an answer holds (RFC 9111 §4.2), by headers in title case; None where it does not say."""
    directives = headers.get("Cache-Control", "")
    if re.search(r"\bno-(store|cache)\b", directives, re.IGNORECASE):
        return 0.0
    found = _MAX_AGE.search(directives)
    age = headers.get("Age", "")
    if found:
        return max(0.0, float(found[1]) - (float(age) if age.isascii() and age.isdigit() else 0.0))
    expires, sent = _date(headers.get("Expires")), _date(headers.get("Date")) or datetime.now(UTC)
    return None if expires is None else max(0.0, (expires - sent).total_seconds())


def _date(raw: str | None) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(raw or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _check(address: str) -> None:
    parts = urlsplit(address)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or local):
        raise ConfigurationError(
            "The address of an identity provider's keys is not https.",
            remedy="Write SYNCLINE_OIDC_ISSUERS as issuer=https://….",
            code="bad_setting",
        )


def _unusable() -> TransientError:
    return TransientError(
        "The keys of the identity provider cannot be had or read.",
        remedy="Check the address of its keys (SYNCLINE_OIDC_ISSUERS, keys_url of a webhook), and whether the provider answers.",
        code="bad_jwks",
        retry_after_s=10,
    )
