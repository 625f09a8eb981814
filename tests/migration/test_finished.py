"""Which finished run a follow-up goes by: the named one, or the newest of the source; never one of another source."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import connections
from tests.migration.conftest import World

ACCOUNTS = {"Account": [{"Id": "001000000000001AAA", "Name": "Acme"}]}


def _second_source(world: World) -> None:
    """The world goes on with another connection."""
    world.connection_id = new_id()
    with world.db.tenant(world.tenant_id) as conn:
        connections.create(conn, world.connection_id, vendor="salesforce", name="second")


def test_the_newest_of_the_only_source_is_meant(world: World) -> None:
    world.migrate(ACCOUNTS)
    newest = world.migrate()
    assert world.migrations.finished()[0].id == newest.run_id


def test_between_two_sources_nothing_is_guessed(world: World) -> None:
    first, first_run = world.connection_id, world.migrate(ACCOUNTS).run_id
    _second_source(world)
    second_run = world.migrate().run_id
    with pytest.raises(ConfigurationError, match=f"{second_run} of second") as caught:
        world.migrations.finished()
    assert caught.value.code == "several_sources"
    assert world.migrations.finished(connection_id=first)[0].id == first_run
    assert world.migrations.finished(first_run)[0].id == first_run


def test_a_source_without_a_finished_run_has_none_although_another_has(world: World) -> None:
    world.migrate(ACCOUNTS)
    _second_source(world)
    with pytest.raises(ConfigurationError) as caught:
        world.migrations.finished(connection_id=world.connection_id)
    assert caught.value.code == "no_such_run"


def test_a_source_that_was_removed_is_not_in_the_way(world: World) -> None:
    removed = world.connection_id
    world.migrate(ACCOUNTS)
    _second_source(world)
    kept = world.migrate().run_id
    with world.db.tenant(world.tenant_id) as conn:
        connections.delete(conn, removed)
    assert world.migrations.finished()[0].id == kept
