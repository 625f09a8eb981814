"""From mapped records to what is planned: references by the hub's ids, and the values by which records match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from domain.labels import joined
from sync_engine.core.merge import is_blank
from sync_engine.core.model import Decision, Incoming, Outcome, VendorRef
from sync_engine.ports import Gathered, PullQuery, Raw


def match_values(item: Incoming, match_keys: Sequence[Sequence[str]]) -> list[Mapping[str, Any]]:
    """The values of each match key that the record has all fields of."""
    if item.deleted or item.merged_into is not None or item.error is not None:
        return []
    found = [{name: item.values.get(name) for name in key} for key in match_keys]
    return [values for values in found if not any(is_blank(v) for v in values.values())]


def resolve(raws: Sequence[Raw], gathered: Gathered) -> list[Incoming]:
    """The records with the references that are known; the others become ``waits``."""
    result = []
    for raw in raws:
        if not raw.refs and not raw.lists:
            result.append(raw.incoming)
            continue
        values, waits = dict(raw.incoming.values), []
        for name, (objects, ids) in raw.lists.items():
            ends = {i: gathered.refs.get((objects, i)) for i in ids}
            values[name] = sorted({end for end in ends.values() if end is not None})
            waits += [VendorRef(name, objects, i) for i, end in ends.items() if end is None]
        for name, (objects, pairs) in raw.labels.items():
            found = ((gathered.refs.get((objects, i)), label) for i, label in pairs)
            values[name] = sorted(joined(end, label) for end, label in found if end is not None)
        for name, ref in raw.refs.items():
            target = gathered.refs.get(ref)
            if target is None:
                values.pop(name, None)
                waits.append(VendorRef(name, ref[0], ref[1]))
            else:
                values[name] = target
        # Looked at anew once what it waits for is known, although the vendor says the same: so without a fingerprint.
        print_ = b"" if waits else raw.incoming.fingerprint
        result.append(replace(raw.incoming, values=values, waits=tuple(waits), fingerprint=print_))
    return result


def keys_of_creates(query: PullQuery, decisions: Sequence[Decision]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The match keys of the records that are created: a commit looks for them once more."""
    return {
        d.vendor_id: query.matches[d.vendor_id]
        for d in decisions
        if d.outcome is Outcome.CREATED and query.matches.get(d.vendor_id)
    }
