"""Lifecycle stages, which HubSpot moves forward only: a step back is passed over without a word.

What the hub wrote has to hold, or the two sides would differ for good and nobody be told. So a stage that was written is
read again, and where it did not take it is cleared first, as HubSpot asks of whoever means it.
https://knowledge.hubspot.com/records/use-lifecycle-stages
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.hubspot.errors import record_error
from connectors.hubspot.portal import Portal
from connectors.hubspot.records import Record, Records, path
from domain.errors import SynclineError

STAGE = "lifecyclestage"
MODIFIED = ("lastmodifieddate", "hs_lastmodifieddate")


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one record: its properties as HubSpot tells them now, or the error."""

    record: Record | None = None
    error: SynclineError | None = None


class Lifecycle:
    """Steps back in one account."""

    def __init__(self, portal: Portal) -> None:
        self._portal, self._records = portal, Records(portal)

    def hold(self, object_name: str, wanted: Mapping[str, str]) -> dict[str, Moved]:
        """See to it that the records of ``wanted`` are in the stages it gives by id. Only those that weren't are in the result.

        At most a hundred; one call when all are, four when some aren't.
        """
        behind = self._behind(object_name, wanted)
        if not behind:
            return {}
        failed = self._update(object_name, dict.fromkeys(behind, ""))
        failed |= self._update(object_name, {i: stage for i, stage in behind.items() if i not in failed})
        found = self._records.current(object_name, list(behind), MODIFIED)
        return {i: Moved(found.get(i), failed.get(i)) for i in behind}

    def _behind(self, object_name: str, wanted: Mapping[str, str]) -> dict[str, str]:
        found = self._records.current(object_name, list(wanted), (STAGE,))
        return {i: stage for i, stage in wanted.items() if i in found and _stage(found[i]) != stage}

    def _update(self, object_name: str, stages: Mapping[str, str]) -> dict[str, SynclineError]:
        """The errors by id. Trace ids are the records' own."""
        inputs = [{"id": i, "properties": {STAGE: stage}, "objectWriteTraceId": i} for i, stage in stages.items()]
        if not inputs:
            return {}
        reply = self._portal.ask(f"{path(object_name)}/batch/update", {"inputs": inputs})
        return {
            str(trace): record_error(error, object_name)
            for error in reply.get("errors") or ()
            for trace in (error.get("context") or {}).get("objectWriteTraceId") or ()
        }


def _stage(record: Mapping[str, Any]) -> str:
    return str(record["properties"].get(STAGE) or "")
