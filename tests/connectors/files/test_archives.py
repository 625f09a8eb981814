"""Archives: read as folders, refused when they would fill the disk or lead out of themselves."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from connectors.files.limits import Limits
from connectors.files.tree import _check_archive, find, member_name
from connectors.kit.contract import ReadRequest
from domain.errors import ConfigurationError

from .support import connector, listing, write

CONTACTS = "id,name\n1,Ann\n2,Bob\n"


def zipped(**members: str | bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv").replace("_zip", ".zip"), content)
    return out.getvalue()


def skipped(path: Path) -> dict[str, str]:
    return {entry["file"]: entry["reason"] for entry in connector(path).check().details["skipped"]}


@pytest.mark.parametrize(
    ("name", "content", "label"),
    [
        ("all.zip", zipped(contacts_csv=CONTACTS), "all.zip/contacts.csv"),
        ("all.zip", zipped(inner_zip=zipped(contacts_csv=CONTACTS)), "all.zip/inner.zip/contacts.csv"),
        ("contacts.csv.gz", gzip.compress(CONTACTS.encode()), "contacts.csv.gz"),
        ("contacts.csv.GZ", gzip.compress(b"id,name\n1,Ann\n") + gzip.compress(b"2,Bob\n"), "contacts.csv.GZ"),
    ],
    ids=["zip", "zip in a zip", "gz", "gz of two members"],  # the bytes hold the time: no name for a test
)
def test_packed_files_are_read_in_place(tmp_path: Path, name: str, content: bytes, label: str) -> None:
    found = listing(write(tmp_path, name, content))
    assert found.rows == [["1", "Ann"], ["2", "Bob"]]
    assert found.places == [(label, 2), (label, 3)]


def test_packed_files_resume_after_any_page(tmp_path: Path) -> None:
    rows = "".join(f"{n},name {n}\n" for n in range(40_000))
    path = write(tmp_path, "all.zip", zipped(contacts_csv="id,name\n" + rows))
    pages = listing(path).pages
    assert len(pages) > 2
    for number, page in enumerate(pages):
        rest = listing(path, "contacts", page.cursor)
        assert rest.rows == [row for later in pages[number + 1 :] for row in later.rows]


def test_split_exports_are_one_object(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"WE_00D_{number}.ZIP", zipped(contacts_csv=f"id,name\n{number},Ann\n"))
    write(tmp_path, "more/contacts_2.csv", "name,id\nCy,3\n")
    found = listing(tmp_path)
    assert found.rows == [["1", "Ann"], ["2", "Ann"], ["3", "Cy"]]
    assert [place for place, _ in found.places] == [
        "WE_00D_1.ZIP/contacts.csv",
        "WE_00D_2.ZIP/contacts.csv",
        "more/contacts_2.csv",
    ]


def test_other_columns_make_another_object(tmp_path: Path) -> None:
    write(tmp_path, "a/contacts.csv", CONTACTS)
    write(tmp_path, "b/contacts.csv", "id,email\n1,a@x.example\n")
    assert set(connector(tmp_path).describe().objects) == {"contacts", "b.contacts"}


def test_noise_is_ignored(tmp_path: Path) -> None:
    names = ("__MACOSX/._contacts.csv", ".DS_Store", "~$contacts.xlsx", "Thumbs.db", ".hidden/contacts.csv")
    for name in names:
        write(tmp_path, name, CONTACTS)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("__MACOSX/._contacts.csv", "contacts.csv", ".DS_Store"):
            archive.writestr(name, CONTACTS)
    assert list(connector(tmp_path).describe().objects) == ["contacts"]
    assert skipped(tmp_path) == {}


def test_names_in_any_script_and_with_spaces(tmp_path: Path) -> None:
    write(tmp_path, "Kontakte für März.csv", CONTACTS)
    with zipfile.ZipFile(tmp_path / "連絡先.zip", "w") as archive:
        archive.writestr("顧客 一覧.csv", "id,name,x\n1,Ann,y\n")
    assert set(connector(tmp_path).describe().objects) == {"Kontakte für März", "顧客 一覧"}


def test_utf_8_names_that_an_old_archiver_did_not_declare(tmp_path: Path) -> None:
    data = bytearray(zipped(X_csv=CONTACTS))
    name = "é".encode()  # two bytes in place of “X.”, and no flag that says UTF-8
    for at in (data.find(b"X.csv"), data.rfind(b"X.csv")):
        data[at : at + 5] = name + b"csv"
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        assert member_name(archive.infolist()[0]) == "écsv"


@pytest.mark.parametrize("name", ["../contacts.csv", "a/../../contacts.csv", "/etc/contacts.csv", "C:/contacts.csv"])
def test_zip_slip_paths_are_not_read(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("good.csv", CONTACTS)
        archive.writestr(name, CONTACTS)
    assert list(connector(tmp_path).describe().objects) == ["good"]
    (reason,) = skipped(tmp_path).values()
    assert "leads out of the archive" in reason


def test_a_zip_bomb_is_refused_from_its_directory(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("b.csv", "w") as out,
    ):
        for _ in range(100):
            out.write(bytes(1 << 20))
    write(tmp_path, "good.csv", CONTACTS)
    (reason,) = skipped(tmp_path).values()
    assert "decompression bomb" in reason


def test_a_gzip_bomb_is_refused_while_it_unpacks(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as out:
        out.write(b"id,name\n")
        for _ in range(100):
            out.write(b"1,aaaaaaaaaaaaa\n" * 65_536)
    problem = connector(tmp_path).describe().objects["bomb"]
    assert not problem.readable
    assert "decompression bomb" in problem.attributes["problem"]


def test_a_lying_size_ends_in_a_damaged_archive(tmp_path: Path) -> None:
    data = bytearray(zipped(contacts_csv="id,name\n" + "1,Ann\n" * 50))
    at = data.rfind(b"PK\x01\x02") + 24  # the uncompressed size in the directory
    data[at : at + 4] = (20).to_bytes(4, "little")
    problem = connector(write(tmp_path, "all.zip", bytes(data))).describe().objects["contacts"]
    assert "damaged" in problem.attributes["problem"]


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    data = zipped(a_csv=os.urandom(3000), b_csv=os.urandom(3000))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            info.compress_size *= 2
        with pytest.raises(ConfigurationError, match="bomb"):
            _check_archive(archive, "all.zip", Limits())
        with pytest.raises(ConfigurationError, match="2 entries"):
            _check_archive(archive, "all.zip", Limits(archive_entries=1))


def test_archives_nest_once(tmp_path: Path) -> None:
    inner = zipped(deep_zip=zipped(contacts_csv=CONTACTS))
    write(tmp_path, "all.zip", zipped(inner_zip=inner))
    write(tmp_path, "good.csv", CONTACTS)
    assert "archive in an archive" in skipped(tmp_path)["all.zip/inner.zip/deep.zip"]


def test_a_nested_archive_may_not_fill_the_disk(tmp_path: Path) -> None:
    path = write(tmp_path, "all.zip", zipped(inner_zip=zipped(contacts_csv=os.urandom(50_000))))
    tree = find(path, Limits(nested_archive=10_000))
    assert tree.tables == []
    assert "larger than" in tree.problems[0][1]
    tree.close()


def test_encrypted_members_are_told(tmp_path: Path) -> None:
    data = bytearray(zipped(contacts_csv=CONTACTS))
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    write(tmp_path, "all.zip", bytes(data))
    write(tmp_path, "good.csv", CONTACTS)
    assert "encrypted" in skipped(tmp_path)["all.zip/contacts.csv"]


@pytest.mark.parametrize("spoil", ["checksum", "cut", "nonsense"])
def test_damaged_archives_are_named(tmp_path: Path, spoil: str) -> None:
    data = bytearray(zipped(contacts_csv="id,name\n" + "".join(f"{n},Ann\n" for n in range(5000))))
    if spoil == "checksum":
        data[len(data) // 3] ^= 0xFF
    write(tmp_path, "all.zip", bytes(data[: len(data) // 2] if spoil == "cut" else data))
    if spoil == "nonsense":
        write(tmp_path, "all.zip", b"PK no archive at all")
    write(tmp_path, "good.csv", CONTACTS)
    described = connector(tmp_path).describe().objects
    problems = [str(schema.attributes.get("problem", "")) for schema in described.values()]
    assert any("all.zip" in text and "damaged" in text for text in [*problems, *map(str, skipped(tmp_path).items())])
    assert described["good"].readable


def test_a_cut_gzip_is_named(tmp_path: Path) -> None:
    write(tmp_path, "contacts.csv.gz", gzip.compress(os.urandom(40_000).hex().encode())[:-20])
    assert "damaged" in connector(tmp_path).describe().objects["contacts"].attributes["problem"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside/secret.csv", CONTACTS)
    inside = write(tmp_path, "folder/contacts.csv", CONTACTS).parent
    (inside / "link.csv").symlink_to(outside)
    (inside / "linked").symlink_to(outside.parent, target_is_directory=True)
    assert list(connector(inside).describe().objects) == ["contacts"]
    assert "link that leads out" in skipped(inside)["link.csv"]


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    write(tmp_path, "good.csv", CONTACTS)
    assert skipped(tmp_path) == {"pipe.csv": "is not a regular file"}


def test_forbidden_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind root, under which tests may run: the refusal itself is played."""
    path = write(tmp_path, "contacts.csv", CONTACTS)
    real = Path.open

    def refuse(self: Path, *args: object, **kwargs: object) -> object:
        if self.name == path.name:
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    schema = connector(tmp_path).describe().objects["contacts"]
    assert "may not be read by this user" in schema.attributes["problem"]
    with pytest.raises(ConfigurationError, match="may not be read"):
        list(connector(tmp_path).read(ReadRequest("contacts")))


def test_a_missing_path_needs_a_person(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is gone"):
        connector(tmp_path / "nothing").check()
    with pytest.raises(ConfigurationError, match="No path"):
        connector(None).check()


@pytest.mark.parametrize("name", ["old.xls", "table.parquet", "photo.png"])
def test_what_is_no_table_is_told(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, b"x")
    write(tmp_path, "good.csv", CONTACTS)
    assert list(skipped(tmp_path)) == [name]


def test_a_workbook_called_csv_is_named(tmp_path: Path) -> None:
    schema = connector(write(tmp_path, "contacts.csv", zipped(a="x"))).describe().objects["contacts"]
    assert "whatever its name says" in schema.attributes["problem"]
