from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connectors.kit.tokens import MemoryTokens
from domain.errors import ReauthRequiredError


def test_fifty_at_once_make_one_exchange_and_all_see_it() -> None:
    tokens = MemoryTokens({"access_token": "old", "user": "u"})
    exchanges: list[Mapping[str, Any]] = []

    def exchange(current: Mapping[str, Any]) -> Mapping[str, Any]:
        exchanges.append(current)
        time.sleep(0.05)  # an exchange takes a while: all fifty ask meanwhile
        return {**current, "access_token": f"new{len(exchanges)}"}

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(lambda _: tokens.refresh("old", exchange), range(50)))
    assert len(exchanges) == 1
    assert {r["access_token"] for r in results} == {"new1"}
    assert tokens.load() == {"access_token": "new1", "user": "u"}


def test_the_first_token_replaces_none() -> None:
    tokens = MemoryTokens({"client_id": "c"})
    assert tokens.refresh(None, lambda c: {**c, "access_token": "a"})["access_token"] == "a"
    assert tokens.refresh(None, lambda c: {**c, "access_token": "b"})["access_token"] == "a"


def test_persisted_before_anyone_uses_it() -> None:
    tokens = MemoryTokens({"access_token": "old"}, on_replace=lambda _new: seen.append(tokens.load()["access_token"]))
    seen: list[str] = []
    tokens.refresh("old", lambda c: {**c, "access_token": "new"})
    assert seen == ["old"]


def test_a_failed_exchange_changes_nothing() -> None:
    tokens = MemoryTokens({"access_token": "old"})

    def refused(_current: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ReauthRequiredError("no")

    with pytest.raises(ReauthRequiredError):
        tokens.refresh("old", refused)
    assert tokens.load() == {"access_token": "old"}


def test_a_store_that_cannot_persist_does_not_hand_out() -> None:
    def full(_new: Mapping[str, Any]) -> None:
        raise OSError("disk full")

    tokens = MemoryTokens({"access_token": "old"}, on_replace=full)
    with pytest.raises(OSError, match="disk full"):
        tokens.refresh("old", lambda c: {**c, "access_token": "new"})
    assert tokens.load() == {"access_token": "old"}


def test_repr_shows_nothing() -> None:
    assert "canary" not in repr(MemoryTokens({"password": "canary"}))
