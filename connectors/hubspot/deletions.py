"""What was archived or merged away since a moment.

Archived records can be listed, and restored, for 90 days. A permanent (privacy) deletion leaves nothing to list: a full
listing finds it. https://knowledge.hubspot.com/records/restore-deleted-records
"""

from __future__ import annotations

from connectors.hubspot.cursors import parse_stamp
from connectors.hubspot.objects import ID_FIELD
from connectors.hubspot.records import MERGED, Records, losers
from domain.errors import CursorExpiredError

ARCHIVE_DAYS = 90
_DAY_MS = 86_400_000


class Deletions:
    """Deletions of one account."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def since(self, name: str, since: int, now: int) -> tuple[list[str], list[tuple[str, str]]]:
        """Ids archived after ``since``, and (loser, survivor) of those that were merged into another record.

        Those come with it that were merged into an archived record: its archive is all that still tells of them.
        The archive is listed by id, not by date, so all of it is looked through. Raises CursorExpiredError when it no
        longer holds everything that was deleted since.
        """
        if now - since > ARCHIVE_DAYS * _DAY_MS:
            raise CursorExpiredError(
                f"HubSpot no longer knows every deletion of {name} since the last reading.",
                remedy="A full listing reconciles deletes.",
                context={"object": name},
            )
        pages = self._records.listing(name, (ID_FIELD, MERGED), archived=True)
        gone = [r for page, _ in pages for r in page if parse_stamp(str(r.get("archivedAt") or now)) >= since]
        return self._sorted_out(name, list(dict.fromkeys(i for r in gone for i in (str(r["id"]), *losers(r)))))

    def _sorted_out(self, name: str, gone: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """A merged record's id brings its survivor, and a restored one itself; neither is deleted."""
        found = self._records.current(name, gone, (ID_FIELD,)) if gone else {}
        merged = [(i, str(record["id"])) for i, record in found.items() if i != str(record["id"])]
        return [record_id for record_id in gone if record_id not in found], merged
