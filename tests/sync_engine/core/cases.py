"""Planner cases made of choices: one record on both sides, what they last agreed on, and what each did since.

The vendor's mapping is lossy on purpose: it holds four characters of a name, without blanks around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import Decision, Hub, Incoming, Link, ListKind, Policy, Rules
from sync_engine.core.pull import plan_pull
from sync_engine.core.push import outgoing
from sync_engine.ports import Lane, PullCommit, PullQuery, Pushed, PushEnd, Sending
from tests.simulation.choices import Choices
from tests.simulation.memory_store import MemoryStore
from tests.simulation.tables import HubRow

TENANT, CONNECTION, HUB_ID = UUID(int=1), UUID(int=2), UUID(int=3)
LANE = Lane(TENANT, CONNECTION, "contacts")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

VALUES: Mapping[str, tuple[Any, ...]] = {
    "name": ("Ann", "  Annabel", "Bob", None),
    "phone": ("1", "2", "3", None),
    "is_active": (True, False, None),
    "score": (1, 0, 2),
    "tags": (["a"], ["a", "b"], ["b", "c"], [], ["c", "a"]),
    "steps": (["a"], ["a", "b"], ["b", "a"], [], ["c", "a"]),
    "custom_fields.size": ("S", "L", None),
}
SCALARS = ("name", "phone", "is_active", "score", "custom_fields.size")
ROOTS = frozenset(n.partition(".")[0] for n in VALUES)


def held(name: str, value: Any) -> Any:
    """A value as the vendor's mapping can hold it."""
    return value.strip()[:4] if name == "name" and isinstance(value, str) else value


def seen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: held(n, v) for n, v in values.items()}


@dataclass
class Case:
    rules: Rules
    base: dict[str, Any] | None
    hub: dict[str, Any]
    vendor: dict[str, Any]
    sent: dict[str, Any]
    hub_time: datetime
    vendor_time: datetime


def a_case(choices: Choices) -> Case:
    base = {n: held(n, choices.pick(v)) for n, v in VALUES.items()}
    hub = {n: (choices.pick(v) if choices.one_in(2) else base[n]) for n, v in VALUES.items()}
    vendor = {n: (held(n, choices.pick(v)) if choices.one_in(2) else base[n]) for n, v in VALUES.items()}
    sent = {n: held(n, choices.pick(v)) for n, v in VALUES.items() if choices.one_in(4)}
    policies = {n: choices.pick(list(Policy)) for n in SCALARS}
    rules = Rules(
        "contact",
        ROOTS,
        ROOTS if not choices.one_in(4) else ROOTS - {"phone"},
        policies=policies,
        lists={"tags": ListKind.SET, "steps": ListKind.SEQUENCE},
    )
    apart = timedelta(minutes=choices.pick((0, -4, 4, -6, 6)))
    return Case(rules, None if choices.one_in(6) else base, _said(hub), vendor, sent, LATER, LATER + apart)


def _said(record: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in record.items() if not is_blank(v)}


class Desk:
    """A case in a store: plan, apply, send and read back, as the engine would."""

    def __init__(self, case: Case) -> None:
        self.case, self.rules = case, case.rules
        self.store = MemoryStore(lambda: LATER)
        self.store.register(LANE, "contact")
        times = dict.fromkeys(case.hub, case.hub_time)
        self.store.tables.hubs[HUB_ID] = HubRow(TENANT, "contact", 1, case.hub, times)
        base = None if case.base is None else _said(case.base)
        self.store.tables.links[LANE, "v1"] = Link("v1", HUB_ID, base, case.sent, version="1")
        lease = self.store.take(LANE, "desk", NOW, LATER)
        assert lease is not None
        self.lease = lease
        self.vendor, self.version = dict(case.vendor), 2

    @property
    def hub(self) -> Hub:
        known = self.store.gather_pull(LANE, PullQuery(["v1"], "contact", times=True)).known
        hub = known.hubs[HUB_ID]
        return replace(hub, seen=self._seen(hub))

    def _seen(self, hub: Hub) -> dict[str, Any]:
        blanks = dict.fromkeys(n for n in VALUES if not n.startswith("custom_fields."))
        return {n: v for n, v in seen({**blanks, **hub.values}).items() if self.rules.writes_field(n)}

    @property
    def link(self) -> Link:
        return self.store.tables.links[LANE, "v1"]

    def incoming(self) -> Incoming:
        said = {n: v for n, v in self.vendor.items() if not (n.startswith("custom_fields.") and v is None)}
        return Incoming("v1", said, str(self.version), self.case.vendor_time)

    def plan(self) -> Decision:
        known = self.store.gather_pull(LANE, PullQuery(["v1"], "contact", times=True)).known
        known = replace(known, hubs={i: replace(h, seen=self._seen(h)) for i, h in known.hubs.items()})
        return plan_pull([self.incoming()], known, self.rules, lambda _: HUB_ID)[0]

    def pull(self) -> Decision:
        decision = self.plan()
        self.store.commit_pull(self.lease, PullCommit("contact", [decision]))
        return decision

    def to_send(self) -> dict[str, Any]:
        return dict(outgoing(self.rules, self.link, self.hub))

    def send(self, recorded: bool) -> dict[str, Any]:
        """Send what the vendor lacks; ``recorded`` False: killed before the answer was committed."""
        fields = self.to_send()
        if fields:
            self.store.announce(self.lease, NOW, [Sending(HUB_ID, fields, "v1")])
            self.vendor.update(fields)
            self.version += 1
            if recorded:
                base = _said({**(self.link.base or {}), **fields})
                end = Pushed(HUB_ID, 0, PushEnd.SENT, link=("v1", base, str(self.version)))
                self.store.commit_push(self.lease, "contact", [end])
        return fields


def contested(case: Case, name: str) -> bool:
    """Whether both sides changed a scalar, differently, since they last agreed."""
    ours, theirs = case.hub.get(name), case.vendor.get(name)
    if same(ours, theirs) or same(_projected(case, name, ours), theirs):
        return False
    return vendor_edited(case, name) and hub_edited(case, name)


def _projected(case: Case, name: str, value: Any) -> Any:
    return held(name, value) if case.rules.writes_field(name) else value


def vendor_edited(case: Case, name: str) -> bool:
    theirs = case.vendor.get(name)
    if name in case.sent and same(case.sent[name], theirs):
        return False
    return case.base is None or not same(case.base.get(name), theirs)


def hub_edited(case: Case, name: str) -> bool:
    return case.base is None or not same(case.base.get(name), _projected(case, name, case.hub.get(name)))
