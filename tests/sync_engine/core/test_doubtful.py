"""Listed states of which nothing tells whether the hub knows a later one."""

from __future__ import annotations

from uuid import UUID

import pytest

from sync_engine.core.model import Incoming, Link
from sync_engine.core.pull import is_doubtful

LINK = Link("v1", UUID(int=1), {"name": "a"}, version="5", fingerprint=b"a")
UNVERSIONED = Link("v1", UUID(int=1), {"name": "a"}, fingerprint=b"a")
WRITTEN = Link("v1", UUID(int=1), {"name": "a"}, version="5")


@pytest.mark.parametrize(
    ("item", "link", "doubtful"),
    [
        pytest.param(Incoming("v1", version="5", fingerprint=b"b"), LINK, True, id="two states of one version"),
        pytest.param(Incoming("v1", version="5", fingerprint=b"a"), LINK, False, id="the state that is known"),
        pytest.param(Incoming("v1", version="6", fingerprint=b"b"), LINK, False, id="a later version"),
        pytest.param(Incoming("v1", version="4", fingerprint=b"b"), LINK, False, id="an earlier version"),
        pytest.param(Incoming("v1", fingerprint=b"b"), UNVERSIONED, True, id="no versions, another state"),
        pytest.param(Incoming("v1", fingerprint=b"a"), UNVERSIONED, False, id="no versions, the same state"),
        pytest.param(Incoming("v1"), UNVERSIONED, True, id="no versions, waiting for a reference"),
        pytest.param(Incoming("v1", version="5"), LINK, False, id="waiting for a reference"),
        pytest.param(Incoming("v1", version="5", fingerprint=b"b"), WRITTEN, False, id="as the hub wrote it"),
        pytest.param(Incoming("v1", deleted=True), UNVERSIONED, False, id="deleted"),
        pytest.param(Incoming("v1", merged_into="v2"), UNVERSIONED, False, id="merged"),
        pytest.param(Incoming("v1", version="5", fingerprint=b"b"), None, False, id="unknown yet"),
    ],
)
def test_what_a_listing_leaves_open(item: Incoming, link: Link | None, doubtful: bool) -> None:
    assert is_doubtful(item, link) is doubtful
