"""Killed anywhere, resumed, and the store is what it would have been: chunk by chunk, and after a crash of the server."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from domain.errors import ConfigurationError, RunInProgressError, TransientError
from migration import load
from migration.service import Migrations
from storage import runs, staging
from storage.database import Database
from storage.embedded import ServerUrls
from tests.conftest import new_tenant
from tests.migration.conftest import World, plan_of
from tests.migration.source import ListSource
from tests.migration.test_run import contact
from tests.migration.test_undo import FULL, RULES

CONTACTS = [
    contact(
        i,
        ReportsToId=f"003{(i * 7) % 60:04}",
        Email=f"p{i % 50}@x.example",
        LastName=f"L{i % 50}",
        AccountId=random.Random(i).choice(["001C", "001P", "001GONE"]),
    )
    for i in range(60)
]
OBJECTS: dict[str, list[dict[str, Any]]] = {**FULL, "Contact": [*CONTACTS, contact(1, Title="again")]}


class Killed(BaseException):
    """Stands for kill -9: nothing of ours may catch it."""


DIFFERS_BY_RUN = [
    "created_at",
    "updated_at",
    "tenant_id",
    "run_id",
    "connection_id",
    "first_at",
    "last_at",
    "key",
    "fingerprint",
    "id",
    "entity_id",
]


def contents(world: World) -> dict[str, list[str]]:
    """Every row of the canonical store, links and letters, without clock, run and tenant."""
    result = {}
    for table in (
        "crm_user",
        "crm_account",
        "crm_contact",
        "crm_opportunity",
        "crm_association",
        "crm_activity",
        "link",
        "pending_reference",
        "dead_letter",
    ):
        rows = world.rows(f"SELECT (to_jsonb(t) - CAST(:but AS text[]))::text FROM {table} t", but=DIFFERS_BY_RUN)  # noqa: S608
        result[table] = sorted(row[0] for row in rows)
    return result


def killed_after(commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die at the ``commits``-th chunk row, just before (odd) or just after (even) its transaction commits."""
    left = iter(range(commits))
    original = runs.add_chunk

    def add_chunk(*args: Any) -> None:
        if next(left, None) is None:
            raise Killed
        original(*args)

    monkeypatch.setattr(runs, "add_chunk", add_chunk)


def killed_at(object_name: str, phase: str, seq: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die at one chunk, before it commits."""
    original = runs.add_chunk

    def add_chunk(connection: Any, key: Any, chunk: runs.Chunk) -> None:
        if (chunk.object, chunk.phase) == (object_name, phase) and chunk.seq >= seq:
            raise Killed
        original(connection, key, chunk)

    monkeypatch.setattr(runs, "add_chunk", add_chunk)


@pytest.fixture(scope="module")
def unkilled(db: Database, database_urls: ServerUrls) -> dict[str, list[str]]:
    """What one run without a kill leaves: the tests only compare with it."""
    world = World(db, database_urls, new_tenant(db))
    world.migrate(OBJECTS, **RULES)
    return _without_ids(contents(world))


def _without_ids(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Ids hold the tenant; two tenants' rows are compared without them."""
    import re

    return {
        t: sorted(re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", r) for r in rows)
        for t, rows in found.items()
    }


@pytest.mark.parametrize("commits", [0, 1, 3, 5, 8, 12, 15, 18, 21, 24, 27])
def test_killed_at_any_chunk_and_resumed_equals_unkilled(
    world: World, unkilled: Any, commits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "RANGE_ROWS", 16)
    world.source = ListSource(OBJECTS)
    with monkeypatch.context() as patched:
        killed_after(commits, patched)
        with pytest.raises(Killed):
            world.migrate(OBJECTS, **RULES)
    [status] = world.migrations.status()
    assert status.state == "interrupted"
    result = world.migrations.resume(certificate=False)
    assert all(x.adds_up for x in result.ledgers.values())
    assert _without_ids(contents(world)) == unkilled


def test_killed_again_and_again(world: World, unkilled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "RANGE_ROWS", 16)
    world.source = ListSource(OBJECTS)
    plan = plan_of(world.source, **RULES)
    for attempt in range(200):
        with monkeypatch.context() as patched:
            killed_after(1, patched)
            try:
                world.migrations.run(world.connection_id, plan) if attempt == 0 else world.migrations.resume(
                    certificate=False
                )
                break
            except Killed:
                continue
    else:
        raise AssertionError("never finished")
    assert attempt > 10
    assert _without_ids(contents(world)) == unkilled


def test_staged_rows_lost_in_a_server_crash_are_read_again(
    world: World, unkilled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlogged tables are empty after a crash of the server: what was loaded stays loaded, the rest is staged anew."""
    monkeypatch.setattr(load, "RANGE_ROWS", 16)
    world.source = ListSource(OBJECTS)
    with monkeypatch.context() as patched:
        killed_at("Contact", "load", 2, patched)
        with pytest.raises(Killed):
            world.migrate(OBJECTS, **RULES)
    assert 0 < world.count("crm_contact") < 51
    for table in ("stage_contact", "stage_account", "stage_user", "stage_link"):
        world.execute(f"DELETE FROM {table}")  # noqa: S608
    result = world.migrations.resume()
    assert result.certificate is not None
    assert result.certificate.ok, result.certificate.verdict
    ledger = result.ledgers["Contact"]
    assert ledger.adds_up
    assert (ledger.created, ledger.merged, ledger.superseded) == (51, 9, 1)
    assert _without_ids(contents(world)) == unkilled


def test_a_zombie_cannot_commit_after_a_take_over(world: World) -> None:
    world.migrate(FULL)
    run = world.migrations.status()[0].run
    with world.db.tenant(world.tenant_id) as connection:
        old = runs.RunKey(world.tenant_id, run.id, run.generation)
        runs.take(connection, world.tenant_id, run.id)
    with pytest.raises(RunInProgressError), world.db.tenant(world.tenant_id) as connection:
        runs.fence(connection, old)


def test_two_runs_at_once_the_second_is_refused_and_changes_nothing(world: World) -> None:
    world.source = ListSource(FULL)
    with runs.exclusive(world.db, world.tenant_id, world.connection_id), pytest.raises(RunInProgressError):
        world.migrate(FULL)
    assert world.migrations.status() == []


def test_a_new_run_while_one_is_unfinished_says_how_to_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        killed_after(2, patched)
        with pytest.raises(Killed):
            world.migrate(FULL)
    with pytest.raises(ConfigurationError, match="migrate resume"):
        world.migrate(FULL)


def test_a_vendor_that_goes_away_ends_the_run_in_words_and_resume_finishes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.source = ListSource(OBJECTS)
    original = ListSource.read

    def read(self: ListSource, request: Any) -> Any:
        for number, page in enumerate(original(self, request)):
            if request.object == "Contact" and number == 2:
                raise TransientError("The vendor does not answer.")
            yield page

    with monkeypatch.context() as patched:
        patched.setattr(ListSource, "read", read)
        with pytest.raises(TransientError):
            world.migrate(OBJECTS, **RULES)
    status = world.migrations.status()[0]
    assert status.state == "failed"
    assert status.run.error is not None
    assert "does not answer" in status.run.error["message"]
    assert world.migrations.resume(certificate=False).ledgers["Contact"].adds_up
    whole = sum(-(-len(records) // world.source.page_size) for records in OBJECTS.values())
    assert world.source.pages_read <= whole + 1  # what was staged is not read again


def test_an_undo_killed_half_way_is_finished_by_resume(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from migration import undo as undo_module
    from storage import undoing

    result = world.migrate(OBJECTS, **RULES)
    original, calls = undoing.delete_created, iter(range(3))

    def delete_created(*args: Any) -> int:
        if next(calls, None) is None:
            raise Killed
        return original(*args)

    monkeypatch.setattr(undo_module, "BATCH", 5)
    with monkeypatch.context() as patched:
        patched.setattr(undoing, "delete_created", delete_created)
        with pytest.raises(Killed):
            world.migrations.undo(result.run_id)
    undone = world.migrations.resume()
    assert undone.kept_total == 0
    assert world.count("crm_contact") == 0
    assert world.count("link") == 0
    assert world.rows("SELECT status FROM migration_run") == [("undone",)]


def test_everything_a_tenant_migrates_is_that_tenants(world: World, make_world: Callable[[], World]) -> None:
    world.migrate(FULL, **RULES)
    other = make_world()
    with other.db.tenant(other.tenant_id) as connection:
        for table in ("crm_contact", "link", "migration_run", "migration_chunk", "dead_letter"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0  # noqa: S608


@pytest.mark.parametrize("then", ["run", "dry_run", "undo"])
def test_what_a_run_killed_after_its_end_left_staged_goes_with_the_next_command(
    world: World, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Migrations, "_forget_staged", stop)
        with pytest.raises(Killed):
            world.migrate(OBJECTS, **RULES)
    assert world.migrations.status()[0].state == "done"
    assert staged_rows(world) > 60
    if then == "undo":
        world.migrations.undo()
    elif then == "run":
        world.migrate(OBJECTS, **RULES)
    else:
        world.migrations.dry_run(world.connection_id, world.plan)
    assert staged_rows(world) == 0


def test_staged_rows_of_another_connection_and_of_a_run_to_be_resumed_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.migrate(FULL)
    with monkeypatch.context() as patched:
        killed_at("Contact", "load", 0, patched)
        with pytest.raises(Killed):
            world.migrate({**FULL, "Contact": [contact(i) for i in range(90, 95)]})
    before = staged_rows(world)
    assert before >= 5
    with world.db.tenant(world.tenant_id) as connection:
        assert staging.drop_finished(connection, world.tenant_id, world.connection_id) == 0
    assert staged_rows(world) == before


def staged_rows(world: World) -> int:
    return sum(
        world.count(t) for t in ("stage_contact", "stage_account", "stage_user", "stage_link", "stage_association")
    )
