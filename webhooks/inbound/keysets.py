"""Published keys for schemes that need them: fetched beside the event loop, kept, and never fetched once a request."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import orjson

from connectors.kit.jwks import Fetch, PublishedKeys
from webhooks.inbound.schemes.google_pubsub import GOOGLES_KEYS

KNOWN_MOST: Final = 1_000
FETCHED_AT_ONCE: Final = 4


@dataclass(slots=True)
class _Known:
    source: PublishedKeys
    keys: Sequence[Mapping[str, Any]] = ()
    text: str = ""

    def shown(self, keys: Sequence[Mapping[str, Any]]) -> str:
        if keys is not self.keys:
            self.keys, self.text = keys, orjson.dumps({"keys": keys}).decode()
        return self.text


class KeySets:
    """Key sets by address. Whoever needs one that was never had waits; keys that grew old are renewed in the background.

    Addresses that customers chose share a few threads, so that slow ones cost others nothing; Google's own keeps clear of them.
    """

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asked: dict[tuple[str, bool], asyncio.Task[None]] = {}
        self._chosen = ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="keys")

    async def get(self, address: str, *, renew: bool = False) -> str:
        """The key set as JSON; with ``renew`` after reading it again, unless that was just tried.

        Raises TransientError where there is none, or (with ``renew``) where it could not be read.
        """
        known = self._of(address)
        if known.source.due(renew=renew) or (address, renew) in self._asked:
            task = self._task(address, known.source, renew=renew)
            if renew or not known.keys:
                await asyncio.shield(task)
        return known.shown(known.source.held(surely=renew))

    def close(self) -> None:
        """Wait for nothing, begin nothing more."""
        self._chosen.shutdown(wait=False, cancel_futures=True)

    def _task(self, address: str, source: PublishedKeys, *, renew: bool) -> asyncio.Task[None]:
        found = self._asked.get((address, renew))
        if found is None:
            found = self._asked[address, renew] = asyncio.create_task(self._read(address, source, renew=renew))
        return found

    async def _read(self, address: str, source: PublishedKeys, *, renew: bool) -> None:
        pool = None if address == GOOGLES_KEYS else self._chosen
        try:
            await asyncio.get_running_loop().run_in_executor(pool, source.refresh, renew)
        finally:
            del self._asked[address, renew]

    def _of(self, address: str) -> _Known:
        known = self._known.get(address)
        if known is None:
            known = self._known[address] = _Known(PublishedKeys(address, clock=self._clock, fetch=self._fetch))
        self._known.move_to_end(address)
        while len(self._known) > KNOWN_MOST:
            self._known.popitem(last=False)
        return known
