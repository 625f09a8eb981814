"""Ids: a file's own where it has one, else made so that a second export of the same data meets them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.files.identity import UniqueProbe, id_candidates

from .support import connector, listing, write


def identity(path: Path, **settings: str) -> tuple[str, str]:
    (schema,) = connector(path, **settings).describe().objects.values()
    return schema.id_field, schema.attributes["identity"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t", "Id,name\n1,a\n2,a\n", ("Id", "column")),
        ("contacts", "name,Contact ID\na,1\nb,2\n", ("Contact ID", "column")),
        ("t", "uuid,name\n1,a\n2,b\n", ("uuid", "column")),
        ("t", "id,name\n1,a\n1,b\n", ("_id", "row")),
        ("t", "id,name\n1,a\n,b\n", ("_id", "row")),
        ("t", "name,Email\na,a@x.example\nb,b@x.example\n", ("_id", "email")),
        ("t", "name,Email\na,a@x.example\nb,A@x.example\n", ("_id", "row")),
        ("t", "name,size\na,1\na,1\n", ("_id", "row_number")),
        ("contacts", "name,account id\na,1\nb,2\n", ("_id", "row")),
    ],
)
def test_what_serves_as_id(tmp_path: Path, name: str, text: str, expected: tuple[str, str]) -> None:
    assert identity(write(tmp_path, f"{name}.csv", text)) == expected


def test_a_person_may_name_the_column(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "id,code\n1,a\n2,b\n")
    assert identity(path, id_column="code") == ("code", "column")


def test_made_ids_survive_another_name_order_and_more_rows(tmp_path: Path) -> None:
    first = listing(write(tmp_path / "a", "t.csv", "name,size\na,1\nb,2\n")).column("_id")
    later = listing(write(tmp_path / "b", "t.csv", "name,size\nc,3\nb,2\na,1\n")).column("_id")
    assert first == [later[2], later[1]]
    assert len({*first, *later}) == 3


def test_ids_by_address_survive_edits_and_show_no_address(tmp_path: Path) -> None:
    first = listing(write(tmp_path / "a", "t.csv", "name,Email\nAnn,ann@x.example\n")).column("_id")
    later = listing(write(tmp_path / "b", "t.csv", "name,Email\nAnn Lee,Ann@X.example\n")).column("_id")
    assert first == later
    assert "ann" not in first[0]


def test_equal_rows_stay_two_records(tmp_path: Path) -> None:
    write(tmp_path, "t_1.csv", "name,size\na,1\na,1\n")
    write(tmp_path, "t_2.csv", "name,size\na,1\n")
    assert len(set(listing(tmp_path).column("_id"))) == 3


def test_made_ids_are_warned_about(tmp_path: Path) -> None:
    schema = connector(write(tmp_path, "t.csv", "name\na\na\n")).describe().objects["t"]
    assert any("Name one with id_column" in warning for warning in schema.attributes["warnings"])


def test_candidates_are_ranked() -> None:
    assert id_candidates(["Account ID", "name", "contact_id", "ID"], "contacts") == ["ID", "contact_id", "Account ID"]


def test_duplicates_are_found_beyond_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.files.identity._SPILL", 10)
    for last, unique in (("x", True), ("7", False)):
        probe = UniqueProbe()
        for start in range(0, 5000, 500):
            probe.feed([str(n) for n in range(start, start + 500)])
        probe.feed([last])
        assert probe.unique() is unique
