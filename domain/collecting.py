"""When a process looks for rings of dead objects."""

from __future__ import annotations

import gc
from typing import Final

MAPPING: Final = 200_000
"""For a process that maps pages and does nothing else: some looks a page, not hundreds."""

SYNCING: Final = 50_000
"""For a process that keeps streams in step: a look or two a page."""


def collect_rarely(after_objects: int) -> None:
    """Look for rings after so many more objects were made than dropped, and never at those that are there by now.

    For processes that handle pages and batches of records, once all is loaded: records are plain values that die by their
    reference count, and looking through them for rings cost a third of the mapping and a sixth of the two-way engine.
    """
    set_aside()
    gc.set_threshold(after_objects, 10, 10)


def set_aside() -> None:
    """Never again look at the objects that are there by now.

    Once a process: what is garbage by the next time would be kept for good.
    """
    if not gc.get_freeze_count():
        gc.freeze()
