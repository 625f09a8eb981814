"""Surveys kept on disk: another process uses them while nothing changed, and never otherwise."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.files import connector as module
from connectors.files import kept
from connectors.files.connector import FilesConnector, _Surveys
from connectors.files.infer import ColumnProbe
from connectors.files.survey import survey
from connectors.kit.contract import Connection, ReadRequest
from connectors.kit.tokens import MemoryTokens
from domain.records import Catalog

from .support import OPENED, write
from .test_recognise import ids
from .test_workbook import saved

LONG_AGO_NS = 1_700_000_000_000_000_000


class Looks:
    """A folder of files that is described as new processes would: with the cache folder, without memory of earlier looks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.cache = folder / "files", folder / "cache" / "of connection"
        self.surveyed: list[str] = []
        self._patch = monkeypatch

        def counted(columns: Any, parts: Any, stem: str, *more: Any) -> Any:
            self.surveyed.append(stem)
            return survey(columns, parts, stem, *more)

        monkeypatch.setattr(module, "survey", counted)

    def write(self, name: str, content: str | bytes, mtime_ns: int = LONG_AGO_NS) -> Path:
        path = write(self.files, name, content)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path

    def connector(self, settings: Mapping[str, str] | None = None, *, cache: bool = True) -> FilesConnector:
        self._patch.setattr(module, "_surveys", _Surveys())
        given = {"path": str(self.files), **(settings or {})}
        folder = self.cache if cache else None
        OPENED.append(FilesConnector(Connection("c", "files", given, MemoryTokens(), cache=folder)))
        return OPENED[-1]

    def describe(self, **settings: str) -> tuple[Catalog, list[str]]:
        """The catalogue, and the objects whose files were read for it."""
        self.surveyed.clear()
        return self.connector(settings).describe(), list(self.surveyed)

    def entries(self) -> list[Path]:
        return sorted(self.cache.iterdir()) if self.cache.exists() else []


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(tmp_path, monkeypatch)


def contacts(rows: int = 300, last: str = "x") -> str:
    lines = [f"{i},{a},{n % 3},n{n}\n" for n, (i, a) in enumerate(zip(ids("003", rows), ids("001", rows), strict=True))]
    return "Id,AccountId,Level__c,LastName\n" + "".join(lines)[:-2] + f"{last}\n"


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


EVERYTHING: dict[str, str | bytes] = {
    "Contact.csv": contacts(),
    "people.csv": "name,email,born,paid\nA,a@x.example,31/01/2024,\"1,5\"\nB,b@x.example,01/02/2024,2\n",
    "late.csv": b"id,name\n" + b"1,plain text\n" * 30_000 + "2,Müller\n".encode("cp1252"),
    "deals.jsonl": "".join(json.dumps({"id": n, "v": [1.5, True, None, {"a": 1}][n % 4]}) + "\n" for n in range(40)),
    "wide.jsonl": '{"id": 1, "pad": "' + "x" * 1_100_000 + '"}\n{"id": 2, "only_here": "y"}\n',
    "packed.csv.gz": gzip.compress(b"id,name\n1,a\n", mtime=0),
    "export.zip": zipped({"inside.csv": b"id,name\n1,a\n", "inner.zip": zipped({"deep.csv": b"id,deep\n1,a\n"})}),
    "broken.csv": 'id,name\n1,a\n2,"b\n3\n4,d\n',
}  # fmt: skip


def test_another_process_describes_the_same_without_reading(looks: Looks) -> None:
    for name, content in EVERYTHING.items():
        looks.write(name, content)
    saved(
        looks.files / "book.xlsx",
        ["id", "when"],
        [1, datetime(2024, 1, 31, 10, 0, tzinfo=UTC).replace(tzinfo=None)],
        [2, None],
    )
    os.utime(looks.files / "book.xlsx", ns=(LONG_AGO_NS, LONG_AGO_NS))
    first, read = looks.describe()
    assert sorted(read) == sorted(first.objects)
    second, read = looks.describe()
    assert (second, read) == (first, [])
    assert second.objects["wide"].field("only_here")
    warnings = second.objects["late"].attributes["warnings"]
    assert "does not say its encoding" in warnings[0]


def test_reading_after_a_kept_survey_gives_the_same_pages(looks: Looks) -> None:
    for name, content in EVERYTHING.items():
        looks.write(name, content)
    for name in looks.connector(cache=False).describe().objects:
        plain = list(looks.connector(cache=False).read(ReadRequest(name)))
        looks.describe()
        looks.surveyed.clear()
        pages = list(looks.connector().read(ReadRequest(name)))
        assert [(p.fields, p.rows, p.cursor) for p in pages] == [(p.fields, p.rows, p.cursor) for p in plain]
        assert looks.surveyed == []


def changed(text: str, at: int) -> str:
    return f"{text[:at]}{'Q' if text[at] != 'Q' else 'R'}{text[at + 1 :]}"


@pytest.mark.parametrize(
    ("content", "mtime_ns"),
    [
        (contacts(last="xx"), LONG_AGO_NS),
        (contacts(), LONG_AGO_NS + 1),
        (changed(contacts(), contacts().index("n0")), LONG_AGO_NS),
        (changed(contacts(), len(contacts()) - 2), LONG_AGO_NS),
    ],
    ids=["size", "time", "head", "tail"],
)
def test_a_change_is_surveyed_again(looks: Looks, content: str, mtime_ns: int) -> None:
    looks.write("Contact.csv", contacts())
    looks.write("other.csv", "id,name\n1,a\n")
    looks.describe()
    before = len(looks.entries())
    looks.write("Contact.csv", content, mtime_ns)
    assert looks.describe()[1] == ["Contact"], "and the file that did not change is not read"
    assert looks.describe()[1] == []
    assert len(looks.entries()) == before == 2, "an object's older survey is replaced"


@pytest.mark.parametrize("depth", [1, 2])
def test_a_changed_member_of_an_archive_is_surveyed_again(looks: Looks, depth: int) -> None:
    for content in (b"id,name\n1,a\n", b"id,name\n1,b\n"):
        inner = zipped({"t.csv": content})
        looks.write("export.zip", inner if depth == 1 else zipped({"inner.zip": inner}))
        assert looks.describe()[1] == ["t"]
        assert looks.describe()[1] == []


def test_both_ends_of_a_large_file_count(looks: Looks) -> None:
    text = contacts(20_000)
    looks.write("Contact.csv", text)
    looks.describe()
    looks.write("Contact.csv", changed(text, len(text) - 100))
    assert looks.describe()[1] == ["Contact"]


def test_a_part_that_came_a_move_and_a_setting_are_surveyed_again(looks: Looks) -> None:
    looks.write("1/t.csv", "id,d\n1,01/02/2024\n")
    looks.describe()
    assert looks.describe(id_column="d")[1] == ["t"]
    looks.describe()
    looks.write("2/t.csv", "id,d\n2,01/02/2024\n")
    catalog, read = looks.describe()
    assert (read, catalog.objects["t"].attributes["count"]) == (["t"], 2)
    (looks.files / "2").rename(looks.files / "3")
    assert looks.describe()[1] == ["t"]


def test_another_version_of_the_format_is_surveyed_again(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    looks.write("t.csv", "id,name\n1,a\n")
    looks.describe()
    monkeypatch.setattr(kept, "FORMAT", kept.FORMAT + 1)
    assert looks.describe()[1] == ["t"]


def altered(entry: bytes) -> bytes:
    return entry.replace(b'"filled": 2', b'"filled": 1', 1)


@pytest.mark.parametrize(
    "spoil",
    [
        altered,
        lambda entry: entry[: len(entry) // 2],
        lambda _: b"",
        lambda _: b"\xff\x00",
        lambda _: b"[]",
        lambda _: b"null",
        lambda _: b'{"key": 1}',
        lambda _: b"[" * 200_000,
    ],
    ids=["altered", "cut off", "empty", "no text", "a list", "null", "another object", "nested"],
)  # fmt: skip
def test_a_spoilt_entry_is_overlooked_and_overwritten(looks: Looks, spoil: Any) -> None:
    looks.write("t.csv", "id,name\n1,a\n2,b\n")
    right, _ = looks.describe()
    (entry,) = looks.entries()
    good = entry.read_bytes()
    assert spoil(good) != good
    entry.write_bytes(spoil(good))
    assert looks.describe() == (right, ["t"])
    assert entry.read_bytes() == good


def test_entries_of_another_object_are_no_use(looks: Looks) -> None:
    looks.write("a.csv", "id,name\n1,a\n")
    looks.write("b.csv", "id,other\n2,b\n")
    right, _ = looks.describe()
    one, two = looks.entries()
    two.write_bytes(one.read_bytes())
    catalog, read = looks.describe()
    assert (catalog, len(read)) == (right, 1)


def test_a_file_written_this_very_moment_is_not_kept(looks: Looks) -> None:
    """A second write within the same tick of the clock would leave size, time and both ends as they were."""
    write(looks.files, "t.csv", "id,name\n1,a\n")
    looks.describe()
    assert looks.entries() == []


def test_a_file_that_changes_while_it_is_read_is_not_kept(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    looks.write("t.csv", "id,name\n1,a\n")

    def meanwhile(*args: Any) -> Any:
        result = survey(*args)
        looks.write("t.csv", "id,name\n1,b\n")
        return result

    monkeypatch.setattr(module, "survey", meanwhile)
    looks.describe()
    assert looks.entries() == []


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_the_user_may_read_what_is_kept(looks: Looks) -> None:
    looks.write("t.csv", "id,name\n1,a\n")
    looks.describe()
    assert [oct(path.stat().st_mode & 0o777) for path in (looks.cache, *looks.entries())] == ["0o700", "0o600"]


def test_a_cache_that_cannot_be_written_is_no_error(looks: Looks) -> None:
    looks.write("t.csv", "id,name\n1,a\n")
    looks.cache.parent.mkdir()
    looks.cache.write_text("a file stands where the folder should", "utf-8")
    assert looks.describe()[1] == ["t"]


def test_the_folder_does_not_grow_without_bound(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_ENTRIES_MAX", 3)
    for number in range(6):
        looks.write(f"table{'abcdef'[number]}.csv", f"id,c{number}\n1,a\n")
    looks.describe()
    assert len(looks.entries()) == 3


def test_every_field_of_a_probe_is_kept() -> None:
    """A field added to the probe has to be added to what is written, too."""
    assert set(kept._probe_as_json(ColumnProbe("c"))) == {field.name for field in fields(ColumnProbe)}
