"""The connector as the hub uses it: the conformance suite, cursors, changed files, lists of problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.contract import Connection, ReadRequest
from connectors.kit.tokens import MemoryTokens
from domain.errors import CursorExpiredError, PlanChangedError
from tests.connectors.conformance import ConnectorConformance, Sample

from .support import connector, listing, write
from .test_recognise import ids

ROWS = 45_000


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contacts in two files, an object with rejects, and a body."""
    folder = tmp_path_factory.mktemp("export")
    accounts = ids("001", 10)
    contacts = ids("003", ROWS)
    rows = [f'{i},{accounts[n % 10]},"Name, {n}",2024-01-02 03:04:05\n' for n, i in enumerate(contacts)]
    header = "Id,AccountId,LastName,SystemModstamp\n"
    write(folder, "1/Contact.csv", header + "".join(rows[:30_000]))
    write(folder, "2/Contact.csv", header + "".join(rows[30_000:]))
    write(folder, "Account.csv", "Id,Name\n" + "".join(f"{i},Acme\n" for i in accounts))
    write(folder, f"ContentVersion/{ids('068', 1)[0]}", b"x" * 3_000_000)
    write(folder, "broken.csv", 'id,name\n1,a\n2,"b\n3\n4,d\n')
    return folder


class TestFiles(ConnectorConformance):
    vendor = "files"
    object_name, record_count = "Contact", ROWS
    remote_account = "acme"

    @pytest.fixture
    def connection(self, export: Path) -> Connection:
        return Connection("c", "files", {"path": str(export), "source": "acme"}, MemoryTokens())

    def spoiled(self, connection: Connection) -> None:
        """There are no credentials to spoil."""

    def unreachable(self, connection: Connection) -> None:
        """There is no host to be out of reach."""

    @pytest.fixture
    def sample(self) -> Sample:
        return Sample("ContentVersion", ids("068", 1)[0], 3_000_000)


def pages_of(path: Path, **request: Any) -> list[Any]:
    return list(connector(path).read(ReadRequest(**request)))


def test_a_cursor_seeks_and_needs_no_other_look_at_the_file(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming reads from the cursor on: no survey, no detection of the encoding over the whole file."""
    first, *later = pages_of(export, object="Contact")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the whole file is read again")

    monkeypatch.setattr("connectors.files.connector.survey", forbidden)
    cursor = json.loads(json.dumps(first.cursor))
    rest = pages_of(export, object="Contact", cursor=cursor)
    assert [page.rows for page in rest] == [page.rows for page in later]
    assert [page.cursor for page in rest] == [page.cursor for page in later], "the same pages, whoever reads them"


def test_rejects_come_once_and_resume_with_their_page(export: Path) -> None:
    found = listing(export, "broken")
    assert (found.column("id"), [r.place.row for r in found.rejects]) == (["1", "4"], [3, 4])


@pytest.mark.parametrize("limit", [1, 2, 9_999, 25_000])
def test_limits_resume_in_the_middle_of_a_page(export: Path, limit: int) -> None:
    everything = listing(export, "Contact").rows
    pages = pages_of(export, object="Contact", limit=limit)
    assert [row for page in pages for row in page.rows] == everything[:limit]
    again = pages_of(export, object="Contact", limit=2, cursor=json.loads(json.dumps(pages[-1].cursor)))
    assert [row for page in again for row in page.rows] == everything[limit : limit + 2]
    rest = pages_of(export, object="Contact", cursor=again[-1].cursor)
    assert [row for page in rest for row in page.rows] == everything[limit + 2 :]


def test_a_file_that_changed_stops_the_reading(tmp_path: Path) -> None:
    rows = "".join(f"{n},name\n" for n in range(30_000))
    path = write(tmp_path, "t.csv", "id,name\n" + rows)
    pages = listing(path).pages
    assert len(pages) > 1
    path.write_text("id,name\n" + rows.replace("7,name", "7,NAME"), "utf-8")
    with pytest.raises(PlanChangedError, match="changed since the reading began"):
        listing(path, "t", pages[0].cursor)
    with pytest.raises(CursorExpiredError, match="replaced"):
        listing(path, "t", pages[-1].cursor)


def test_a_part_that_came_or_went_stops_the_reading(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"t_{number}.csv", f"id,name\n{number},a\n")
    first = listing(tmp_path).pages[0]
    (tmp_path / "t_2.csv").unlink()
    write(tmp_path, "t_3.csv", "id,name\n3,a\n")
    with pytest.raises(PlanChangedError):
        listing(tmp_path, "t", first.cursor)


def test_nothing_new_after_everything_was_read(export: Path) -> None:
    last = pages_of(export, object="Account")[-1]
    (page,) = pages_of(export, object="Account", cursor=last.cursor)
    assert (page.rows, page.last, page.cursor) == ([], True, last.cursor)


def test_the_same_source_is_the_same_account(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday"):
        write(tmp_path, f"{folder}/t.csv", "id\n1\n")
    accounts = {connector(tmp_path / f, source="acme").check().remote_account for f in ("monday", "tuesday")}
    assert accounts == {"acme"}
    assert connector(tmp_path / "monday").check().remote_account == "monday"


def test_describing_twice_looks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "t.csv", "id,name\n1,unseen before\n")
    before = connector(path).describe()
    monkeypatch.setattr("connectors.files.connector.survey", None)
    assert connector(path).describe() == before


def test_fields_and_ids_narrow_a_page(export: Path) -> None:
    wanted = ids("003", ROWS)[33_333]
    (row,) = [
        r for page in pages_of(export, object="Contact", ids=(wanted,), fields=("LastName", "Id")) for r in page.rows
    ]
    assert row == ["Name, 33333", wanted]
    places = [str(p) for page in pages_of(export, object="Contact", ids=(wanted,)) for p in page.places]
    assert places == ["2/Contact.csv, row 3335"]
