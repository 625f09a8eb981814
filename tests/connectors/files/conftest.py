from __future__ import annotations

from collections.abc import Iterator

import pytest

from .support import OPENED


@pytest.fixture(autouse=True)
def _close_connectors() -> Iterator[None]:
    """Connectors that a test opened on the way hold archives open."""
    yield
    while OPENED:
        OPENED.pop().close()
