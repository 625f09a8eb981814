"""A `contract.TokenStore` in memory, for tests and one-off commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any


class MemoryTokens:
    """Thread-safe. ``on_replace`` is called with the new credentials before anyone can use them (persisting them, say)."""

    def __init__(
        self,
        credentials: Mapping[str, Any] | None = None,
        on_replace: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._credentials: Mapping[str, Any] = dict(credentials or {})
        self._on_replace = on_replace
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "MemoryTokens(...)"

    def load(self) -> Mapping[str, Any]:
        """See `contract.TokenStore.load`."""
        return dict(self._credentials)

    def refresh(
        self, stale: str | None, exchange: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """See `contract.TokenStore.refresh`. What ``exchange`` or ``on_replace`` raises leaves everything as it was."""
        with self._lock:
            if self._credentials.get("access_token") != stale:
                return dict(self._credentials)
            fresh = dict(exchange(dict(self._credentials)))
            if self._on_replace is not None:
                self._on_replace(dict(fresh))
            self._credentials = fresh
            return dict(fresh)
