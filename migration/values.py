"""What dry runs and certificates tell as JSON, without values of records: fields, ids and counts stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Told = Mapping[str, Any]


def without_values_dry_run(told: Told) -> dict[str, Any]:
    """A dry run: of each sample the ids and the names of the fields, with null for their values."""
    return {**told, "objects": {name: _previewed(o) for name, o in told["objects"].items()}}


def without_values_run(told: Told) -> dict[str, Any]:
    """A run, which may have a certificate."""
    certificate = told.get("certificate")
    return {**told, "certificate": without_values_certificate(certificate)} if certificate else dict(told)


def without_values_certificate(told: Told) -> dict[str, Any]:
    """A certificate: which records differ, and in which field, but neither what was expected there nor what was found."""
    lists = {name: told[name] for name in ("differences", "edited", "pending")}
    return {**told, **{n: {**found, "items": [_found(f) for f in found["items"]]} for n, found in lists.items()}}


def _previewed(told: Told) -> dict[str, Any]:
    diffs = [{**d, "fields": dict.fromkeys(d["fields"])} for d in told["diffs"]]
    creates = [{name: value if name == "vendor_id" else None for name, value in c.items()} for c in told["creates"]]
    return {**told, "diffs": diffs, "creates": creates}


def _found(finding: Told) -> dict[str, Any]:
    # What names no record compares counts of whole objects.
    if finding["vendor_id"] is None and finding["entity_id"] is None:
        return dict(finding)
    return {**finding, "expected": None, "found": None}
