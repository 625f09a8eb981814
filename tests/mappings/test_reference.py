"""The reference page says what the code does."""

from __future__ import annotations

from pathlib import Path

from mappings.reference import page
from mappings.transforms import REGISTRY

PAGE = Path(__file__).parents[2] / "docs/reference/mappings.md"


def test_the_page_is_what_the_code_writes() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m mappings.reference > docs/reference/mappings.md"


def test_every_transform_states_its_meaning_and_loss() -> None:
    for transform in REGISTRY.values():
        assert transform.doc.endswith("."), transform.name
        assert transform.loss, transform.name
        assert all(option.doc for option in transform.options.values()), transform.name
