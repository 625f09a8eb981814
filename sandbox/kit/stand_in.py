"""A stand-in vendor as one object: `StandIn.handle` answers a request as the vendor would, without a socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from sandbox.kit.clock import Clock
from sandbox.kit.faults import Faults, FaultT, spoil
from sandbox.kit.journal import Journal
from sandbox.kit.wire import Refusal, Reply, Request, Route, Router, WireError

ClockT = TypeVar("ClockT", bound=Clock)


class StandIn(ABC, Generic[ClockT, FaultT]):
    """State, rules, quotas, journal and faults of one account at a vendor. Single-threaded: one request after another."""

    longest_uri = 16_384

    def __init__(self, clock: ClockT, kind_of_fault: type[FaultT]) -> None:
        self.clock = clock
        self.journal = Journal()
        self.faults: Faults[FaultT] = Faults(kind_of_fault)
        self.router: Router[Any] = Router()

    # ------------------------------------------------------------ what a vendor says

    @abstractmethod
    def answer(self, route: Route[Any], path: Mapping[str, str], request: Request, struck: list[FaultT]) -> Reply:
        """Carry out a call: meet its faults, check who asks, count it, run its handler. Raises Refusal or WireError."""

    @abstractmethod
    def worded(self, error: WireError) -> Reply:
        """A request that can't be read or that nothing answers, in the vendor's words."""

    @abstractmethod
    def uri_too_long(self) -> Reply: ...

    def about(self) -> dict[str, Any]:
        """What the account holds, and what to sign in with."""
        return {"now": self.clock.stamp()}

    @abstractmethod
    def edit(self, edit: Mapping[str, Any]) -> dict[str, Any]:
        """What a person does in the vendor's own screens. Raises Refusal as the screen would refuse."""

    def finish(self, request: Request, reply: Reply) -> None:
        """Headers that every answer carries."""

    def spoil(self, reply: Reply, fault: FaultT) -> None:
        """What a struck fault does to an answer on its way out."""
        spoil(reply, fault)

    def clear_faults(self) -> None:
        self.faults.waiting.clear()

    def long_call(self, change: int) -> None:
        """A call that lasts twenty seconds or more begins (1) or ends (-1)."""

    # ------------------------------------------------------------ requests

    def handle(self, request: Request) -> Reply:
        """Answer one request. Never raises for what a caller did wrong."""
        kind, counted = "unknown", False
        struck: list[FaultT] = []
        try:
            route, path = self.router.find(request.method, request.path)
            kind, counted = route.kind, not route.free
            struck = [] if kind == "control" else self.faults.strike(kind)
            reset = any(fault.kind == "reset" for fault in struck)
            reply = Reply(effect="reset") if reset else self.answer(route, path, request, struck)
        except Refusal as refusal:
            reply = refusal.reply()
        except WireError as error:
            reply = self.worded(error)
        for fault in struck:
            self.spoil(reply, fault)
        self.journal.add(kind, request.method, request.path, reply.status, counted)
        self.finish(request, reply)
        return reply


AnyStandIn = StandIn[Any, Any]
