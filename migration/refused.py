"""What was refused on its way into the hub becomes dead letters, in the transaction that refused it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage import dead_letters
from storage.loading import Refused
from storage.planning import StagedObject


def bury(
    connection: Any,
    staged: StagedObject,
    refused: Sequence[Refused],
    *,
    code: str = "not_storable",
    stage: str = "load",
    told: str = "{object} {vendor_id} was not stored: {why}.",
) -> None:
    """Record one dead letter a refused record. ``told`` says what happened, of its object, vendor id and reason."""
    letters = [
        dead_letters.NewLetter(
            stage=stage,
            code=code,
            message=told.format(object=staged.object, vendor_id=r.vendor_id, why=r.why),
            connection_id=staged.connection_id,
            run_id=staged.key.run_id,
            object=staged.object,
            vendor_id=r.vendor_id,
            entity=staged.entity,
        )
        for r in refused
    ]
    if letters:
        dead_letters.record(connection, staged.key.tenant_id, letters)
