"""Versions of vendor records as texts that compare: of two states of a record, the later one has the greater version."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d\.\d{3}Z", re.ASCII).fullmatch
"""The form that most vendors print: making it comparable takes three digits, and no look at the calendar."""


def comparable(version: object) -> str:
    """A vendor's version so that texts compare as moments do; whatever is no moment stays as it is.

    Vendors print the same moment in several ways: HubSpot leaves the fraction out on a full second, Salesforce writes +0000.
    """
    if not isinstance(version, str):
        return "" if version is None else str(version)
    if len(version) < 19 or version[4] != "-" or version[10] not in "T ":
        return version
    try:
        moment = datetime.fromisoformat(version)
    except ValueError:
        return version
    if moment.tzinfo is None:
        return moment.isoformat(timespec="microseconds") + "Z"
    if _MILLISECONDS(version):
        return version[:-1] + "000Z"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
