"""Waiting for changes: one look at the database every moment for each tenant, however many wait. No thread or connection waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from domain.errors import TransientError

EVERY_S = 0.5
AT_MOST = 1_000

Mark = tuple[int, int]


@dataclass(slots=True)
class _Tail:
    """The waiting of one tenant: who waits, and the task that looks for them."""

    waiting: set[asyncio.Future[Mark]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class Tails:
    """Wakes those who wait when a tenant's mark moves. ``look`` reads the mark (blocking)."""

    def __init__(self, look: Callable[[UUID], Mark], *, every_s: float = EVERY_S, at_most: int = AT_MOST) -> None:
        self._look, self._every_s, self._at_most = look, every_s, at_most
        self._tails: dict[UUID, _Tail] = {}
        self.waiting = 0

    async def mark(self, tenant_id: UUID) -> Mark:
        """The tenant's mark now: take it before reading, so that what comes in between is not waited for in vain."""
        return await run_in_threadpool(self._look, tenant_id)

    async def moved(self, tenant_id: UUID, seen: Mark, within_s: float) -> Mark | None:
        """The mark once it is another than ``seen``, or None after ``within_s`` seconds. Raises TransientError (too many wait)."""
        if self.waiting >= self._at_most:
            raise TransientError(
                "Too many readers wait for changes here.",
                remedy="Read again in a moment.",
                code="too_many_waiting",
                retry_after_s=5,
            )
        self.waiting += 1
        deadline = asyncio.get_running_loop().time() + within_s
        try:
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                found = await self._next(tenant_id, left)
                if found is not None and found != seen:
                    return found
            return None
        finally:
            self.waiting -= 1

    async def _next(self, tenant_id: UUID, within_s: float) -> Mark | None:
        """What the next look finds."""
        tail = self._tails.setdefault(tenant_id, _Tail())
        future: asyncio.Future[Mark] = asyncio.get_running_loop().create_future()
        tail.waiting.add(future)
        if tail.task is None:
            tail.task = asyncio.create_task(self._watch(tenant_id, tail))
        try:
            return await asyncio.wait_for(future, within_s)
        except TimeoutError:
            return None
        finally:
            tail.waiting.discard(future)

    async def _watch(self, tenant_id: UUID, tail: _Tail) -> None:
        """Look for as long as anybody waits. A database that is away for a while finds them still waiting."""
        try:
            while tail.waiting:
                await asyncio.sleep(self._every_s)
                try:
                    found = await self.mark(tenant_id)
                except TransientError:
                    continue
                for future in tail.waiting:
                    if not future.done():
                        future.set_result(found)
                await asyncio.sleep(0)  # those who wait on are back in the set before anyone looks at it again
        finally:
            tail.task = None
            if not tail.waiting:
                self._tails.pop(tenant_id, None)
