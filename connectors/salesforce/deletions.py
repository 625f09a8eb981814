"""What was deleted since a moment.

getDeleted reads the delete log: it knows records that left the recycle bin, too, but only 15 days back, and less when
the log was purged. Objects that are not replicated have no log; of those the recycle bin is listed.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_getdeleted.htm
https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_getdeleted.htm
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.errors import vendor_code
from connectors.salesforce.org import Org
from domain.errors import CursorExpiredError
from domain.records import ObjectSchema

LOG_DAYS = 15
WINDOW_MIN = timedelta(minutes=2)
"""getDeleted ignores seconds and wants an end after its start."""


class Deletions:
    """Deletions of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def since(self, schema: ObjectSchema, moment: datetime, now: datetime) -> tuple[list[str], datetime]:
        """Ids deleted after ``moment``, and until when that is certain: the next call starts there.

        Raises CursorExpiredError when Salesforce no longer knows all deletions since ``moment``.
        """
        if now - moment < WINDOW_MIN:
            return [], moment
        if now - moment > timedelta(days=LOG_DAYS):
            raise _too_old(schema.name)
        if schema.attributes.get("replicateable"):
            return self._from_log(schema.name, moment, now)
        if schema.attributes.get("soft_delete") and schema.modified_field:
            return self._from_bin(schema, moment), now
        return [], now

    def _from_log(self, name: str, start: datetime, end: datetime) -> tuple[list[str], datetime]:
        try:
            result = self._call(name, start, end)
        except CursorExpiredError as error:
            half = (end - start) / 2
            if vendor_code(error) != "EXCEEDED_ID_LIMIT" or half < WINDOW_MIN:
                raise
            first, covered = self._from_log(name, start, start + half)
            rest, latest = self._from_log(name, min(covered, start + half), end)
            return list(dict.fromkeys(first + rest)), latest
        if soql.parse_timestamp(str(result["earliestDateAvailable"])) > start:
            raise _too_old(name)
        deleted = [str(entry["id"]) for entry in result["deletedRecords"]]
        return deleted, soql.parse_timestamp(str(result["latestDateCovered"]))

    def _call(self, name: str, start: datetime, end: datetime) -> Mapping[str, Any]:
        def ask(client: Any) -> Mapping[str, Any]:
            answer: Mapping[str, Any] = getattr(client, soql.name(name)).deleted(start, end)
            return answer

        return self._org.sdk(ask)

    def _from_bin(self, schema: ObjectSchema, moment: datetime) -> list[str]:
        key = schema.modified_field or ""
        query = soql.select(
            schema.name, ("Id",), where=("IsDeleted = true", soql.since(key, moment)), order=(key, "Id")
        )
        return [str(record["Id"]) for record in self._org.query_all(query, include_deleted=True)]


def _too_old(name: str) -> CursorExpiredError:
    return CursorExpiredError(
        f"Salesforce no longer knows every deletion of {name} since the last reading.",
        remedy="A full listing reconciles deletes.",
        context={"object": name},
    )
