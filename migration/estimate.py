"""What a migration will cost: calls to the vendor and time."""

from __future__ import annotations

from connectors.kit.contract import AuthKind, Manifest
from migration.audit_model import Estimate

LOAD_RATE = 20_000
"""Records a second from mapped page to indexed table on two cores: careful, the benchmark does better."""

UNSEEN_READ_RATE = 1_000
"""Records a second that a vendor's API gives where the audit could not measure it."""


def estimate(manifest: Manifest, object_name: str, count: int, *, pages: int, records: int, seconds: float) -> Estimate:
    """Calls and seconds for migrating ``count`` records of an object.

    ``pages``, ``records`` and ``seconds`` are what the audit itself needed to read. A full audit read exactly the pages
    that a run will ask for (through whichever interface the connector chose); after a sample they are worked out
    from the page size that the manifest declares. Local sources cost no call.
    """
    load_s = count / LOAD_RATE
    rate = records / seconds if records and seconds > 0 else UNSEEN_READ_RATE
    total_s = count / rate + load_s
    if all(method.kind is AuthKind.NONE for method in manifest.auth):
        return Estimate(0, total_s, "local")
    if records >= count:
        return Estimate(max(pages, 1), total_s, "pages")
    size = next((info.page_size for info in manifest.objects if info.name == object_name), None) or 100
    return Estimate(max(1, -(-count // size)), total_s, "pages")
