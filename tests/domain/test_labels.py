"""Labels of associated records as texts, and back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from domain import labels


@pytest.mark.parametrize("label", ["Pays", "Decides alone", " from the left", "", "Größe  ×"])
def test_a_pair_is_told_apart_as_it_was_put_together(label: str) -> None:
    record = uuid4()
    assert labels.split(labels.joined(record, label)) == (str(record), label)
