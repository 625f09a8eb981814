"""The rules of a stream as a person sets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Literal

from connectors.kit.contract import Connector, SupportsViews
from domain.entities import SET_UP
from sync_engine.core.model import DeletePolicy, Policy
from sync_engine.views import Membership

Direction = Literal["both", "in", "out"]

SYNC_MATCH_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pipeline": (),  # each vendor's are its own; `sync_engine.core.stand_ins` finds one vendor's for another's
    "stage": (),
    "account": (("domain",), ("name",)),
    "contact": (("email",),),
    "lead": (("email",),),
    "product": (("code",), ("sku",), ("name",)),
}
"""How records of two vendors are recognised as the same thing, where an entity's own match keys ask for too much."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """``direction``: in is only read, out only written. ``policies``: by field. ``key_field``: the vendor's unique field that may
    hold hub ids, so that a create can be repeated. ``skew_s``: how far the vendor's clock may differ. ``names``: what else the
    vendor's stages and pipelines are called, as (stage or pipeline, name, vendor id). ``lead_stages``: in which stages a contact is
    a lead, of a stream of those; ``converted_stage``: to which one it is moved when its lead was converted elsewhere, "" for none.
    None and empty: as the connector has it."""

    direction: Direction = "both"
    policy: Policy = Policy.HUB_WINS
    policies: Mapping[str, Policy] = field(default_factory=dict)
    deletes_in: DeletePolicy = DeletePolicy.PROPAGATE
    deletes_out: DeletePolicy = DeletePolicy.PROPAGATE
    edit_beats_delete: bool = True
    creates_in: bool = True
    creates_out: bool = True
    key_field: str | None = None
    skew_s: int = 300
    names: tuple[tuple[str, str, str], ...] = ()
    lead_stages: tuple[str, ...] = ()
    converted_stage: str | None = None

    @property
    def pushes(self) -> bool:
        return self.direction != "in"

    def to_json(self) -> dict[str, Any]:
        return {name: dict(v) if isinstance(v, Mapping) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StreamSettings:
        """The settings stored with a stream; what is missing has its default."""
        known = {name: data[name] for name in cls.__slots__ if name in data}
        for name, kind in (("policy", Policy), ("deletes_in", DeletePolicy), ("deletes_out", DeletePolicy)):
            if name in known:
                known[name] = kind(known[name])
        known["policies"] = {n: Policy(p) for n, p in dict(known.get("policies") or {}).items()}
        known["names"] = tuple((entity, name, vendor_id) for entity, name, vendor_id in known.get("names") or ())
        known["lead_stages"] = tuple(known.get("lead_stages") or ())
        return cls(**known)

    def rules(self, entity: str) -> dict[str, Any]:
        """What these settings say of `Rules`."""
        chosen: dict[str, Any] = {
            "policy": self.policy,
            "policies": self.policies,
            "deletes_in": self.deletes_in,
            "deletes_out": self.deletes_out,
            "edit_beats_delete": self.edit_beats_delete,
            "pulls": self.direction != "out",
            "pushes": self.pushes and entity not in SET_UP,
            "creates_in": self.creates_in,
            "creates_out": self.creates_out,
            "skew": timedelta(seconds=self.skew_s),
        }
        if entity in SYNC_MATCH_KEYS:
            chosen["match_keys"] = SYNC_MATCH_KEYS[entity]
        return chosen


def membership_of(
    connector: Connector, name: str, chosen: Mapping[str, StreamSettings], entities: Mapping[str, str | None]
) -> Membership | None:
    """Which of the vendor's records an object holds, where it shares them with another one; None: all of them.

    ``chosen``: the settings of the connection's streams by object: a view counts once there is a stream of it. ``entities``: by
    object.
    """
    views = connector.views if isinstance(connector, SupportsViews) else {}
    known = {name: views[name]} if name in views else {v: view for v, view in views.items() if view.of == name}
    for part, view in known.items():
        if part not in chosen:
            continue
        settings = chosen[part]
        leaves = view.leaves if settings.converted_stage is None else settings.converted_stage
        values, other = frozenset(settings.lead_stages or view.inside), view.of if name == part else part
        entity = entities[other] or ""
        keys, given = SYNC_MATCH_KEYS.get(entity, ()), view.enters if name == part else leaves
        if name == part and given not in values:
            given = (settings.lead_stages or view.inside)[0]
        return Membership(view.field, values, name == part, other, entity, keys, given, leaves if name == part else "")
    return None
