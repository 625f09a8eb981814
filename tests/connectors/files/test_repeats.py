"""Slips in a column of ids: it stays the id, blank ones are rejects, and of repeated ones the last counts and is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.files import rejects as codes
from connectors.files.identity import UniqueProbe, few_of, is_plainly_id
from connectors.files.repeats import Repeats, find_repeats

from .support import connector, listing, write
from .test_identity import identity
from .test_kept import Looks


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(tmp_path, monkeypatch)


def companies(count: int = 200, *more: str, id_column: str = "id") -> str:
    """``count`` rows with ids C0, C1 … from line 2 on, then ``more``."""
    rows = [f"C{n},Company {n},Bonn" for n in range(count)]
    return "\n".join([f"{id_column},name,city", *rows, *more, ""])


def warnings(path: Path) -> list[str]:
    (schema,) = connector(path).describe().objects.values()
    return list(schema.attributes["warnings"])


@pytest.mark.parametrize(
    ("name", "column", "text", "expected"),
    [
        ("companies", "id", companies(200, "C7,Company 7,Köln"), ("id", "column")),
        ("companies", "Record ID", companies(200, "C7,X,Y", id_column="Record ID"), ("Record ID", "column")),
        ("companies", "company_id", companies(200, "C7,X,Y", id_column="company_id"), ("company_id", "column")),
        ("all companies-export 2024", "Company ID", companies(200, "C7,X,Y", id_column="Company ID"), ("Company ID", "column")),
        ("companies", "id", companies(200, "C7,Company 7,Bonn"), ("id", "column")),
        ("companies", "id", companies(198, "C7,X,Y", "C8,X,Y"), ("id", "column")),
        ("companies", "id", companies(197, "C7,X,Y", "C8,X,Y"), ("id", "column")),
        ("companies", "id", companies(3, "C1,X,Y"), ("id", "column")),
        ("companies", "id", companies(2, "C1,X,Y"), ("id", "column")),
        ("companies", "id", companies(1, "C0,X,Y"), ("_id", "row")),
        ("companies", "id", companies(1, "C0,X,Y", "C0,X,Z"), ("_id", "row")),
        ("companies", "id", companies(17, "C1,X,Y", "C2,X,Y"), ("_id", "row")),
        ("companies", "id", companies(18, "C1,X,Y", "C2,X,Y"), ("id", "column")),
        ("companies", "id", companies(18, "C1,X,Y", "C1,X,Z"), ("id", "column")),
        ("companies", "id", companies(495, *(f"C{n},X,Y" for n in range(5))), ("id", "column")),
        ("companies", "id", companies(495, *(f"C{n},X,Y" for n in range(6))), ("_id", "row")),
        ("companies", "id", companies(3, ",X,Y"), ("id", "column")),
        ("companies", "id", companies(3, ",X,Y", " ,X,Z", ",X,W"), ("id", "column")),
        ("companies", "id", companies(3, ",X,Y", ",X,Z", ",X,W", ",X,V"), ("_id", "row")),
        ("companies", "id", companies(1, ",X,Y"), ("_id", "row")),
        ("contacts", "account_id", companies(200, "C7,X,Y", id_column="account_id"), ("_id", "row")),
        ("companies", "External ID", companies(200, "C7,X,Y", id_column="External ID"), ("_id", "row")),
        ("companies", "External ID", companies(200, ",X,Y", id_column="External ID"), ("_id", "row")),
        ("companies", "number", companies(200, "C7,X,Y", id_column="company number"), ("_id", "row")),
    ],
)  # fmt: skip
def test_a_column_stays_the_id_while_it_evidently_is(
    tmp_path: Path, name: str, column: str, text: str, expected: tuple[str, str]
) -> None:
    assert identity(write(tmp_path, f"{name}.csv", text)) == expected, column


def test_the_id_that_others_refer_to_wins_over_a_number_without_slips(tmp_path: Path) -> None:
    rows = [f"{n},C{n},Company {n}\n" for n in range(200)]
    text = "company number,id,name\n" + "".join(rows) + "200,C7,Company 7\n"
    assert identity(write(tmp_path, "companies.csv", text)) == ("id", "column")


def test_an_id_that_repeats_in_other_letter_case_is_another_id(tmp_path: Path) -> None:
    path = write(tmp_path, "companies.csv", "id,name\nabC,x\nabc,x\n")
    assert identity(path) == ("id", "column")
    assert warnings(path) == []


def test_repeated_ids_pass_with_the_same_id_and_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, "companies.csv", companies(300, "C7,Seven,Köln", "C9,Nine,Ulm", "C7,Seven again,Köln"))
    found = listing(path)
    assert (len(found.rows), found.rejects) == (303, [])
    assert found.column("id").count("C7") == 3
    assert warnings(path) == [
        "Column “id” is taken as the id: 3 values repeat an earlier one of 303, so few that a row with the same id is "
        "the same record listed again. Both rows count as read; the last one is the record.",
        "3 rows repeat an id with other content: companies.csv, rows 302, 303, 304.",
    ]
    assert connector(path).count(["companies"]) == {"companies": 303}


def test_a_row_listed_again_as_it_was_is_told_once(tmp_path: Path) -> None:
    path = write(tmp_path, "companies.csv", companies(200, "C7,Company 7,Bonn"))
    (told,) = warnings(path)
    assert told.startswith("Column “id” is taken as the id: 1 value repeats an earlier one of 201,")
    assert listing(path).column("id").count("C7") == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            companies(10, *["C1,X,Y", "C2,X,Y"] * 2),
            "“id” repeats values too often to be the id (4 of 14), and some rows",
        ),
        (companies(1, ",1,Y", ",2,Y"), "“id” repeats values or is blank in some rows: records"),
        (companies(1, "C0,X,Y", *[",X,Y"] * 4), "“id” repeats values or is blank in some rows, and some rows"),
        (companies(9, "C1,X,Y", id_column="External ID"), "“External ID” repeats values or is blank in some rows: re"),
    ],
)
def test_a_column_that_is_not_taken_as_the_id_is_told_with_the_reason(tmp_path: Path, text: str, told: str) -> None:
    (warning,) = warnings(write(tmp_path, "companies.csv", text))
    assert warning.startswith(f"Column {told}")


@pytest.mark.parametrize(
    ("filled", "few"), [(1, 1), (19, 1), (20, 2), (50, 5), (90, 5), (599, 5), (600, 6), (10_000, 100)]
)
def test_how_many_repeats_are_slips(filled: int, few: int) -> None:
    assert few_of(filled) == few


def test_repeats_in_several_files_name_each(tmp_path: Path) -> None:
    write(tmp_path, "companies_1.csv", companies(300))
    write(tmp_path, "companies_2.csv", "id,name,city\nC1,Other,Ulm\nC900,New,Ulm\nC2,Other,Ulm\n")
    assert warnings(tmp_path)[1:] == ["2 rows repeat an id with other content: companies_2.csv, rows 2, 4."]


def test_only_the_first_repeats_are_named() -> None:
    rows = [[f"{n % 7}", str(n)] for n in range(14)]
    ids = {hash(str(n)) for n in range(7)}
    found = find_repeats(0, [("a.csv", rows[:9], range(2, 11)), ("b.csv", rows[9:], range(2, 7))], ids)
    assert (found.rows, len(found.places)) == (7, 5)
    assert found.explained().endswith("content: a.csv, rows 9, 10; b.csv, rows 2, 3, 4 …")
    assert Repeats(1, found.places[:1]).explained().startswith("1 row repeats an id")
    assert Repeats().explained() == ""


@pytest.mark.parametrize(
    ("contents", "changes"), [("ab", 1), ("aab", 1), ("abb", 1), ("aba", 2), ("aaa", 0), ("abc", 2)]
)
def test_a_row_is_compared_with_the_one_that_counted_until_then(contents: str, changes: int) -> None:
    rows = [["1", content] for content in contents]
    assert find_repeats(0, [("a.csv", rows, range(2, 2 + len(rows)))], {hash("1")}).rows == changes


def test_rows_of_other_ids_are_not_looked_at() -> None:
    rows = [["1", "a"], ["2", "a"], ["2", "b"]]
    assert find_repeats(0, [("a.csv", rows, range(2, 5))], {hash("1")}) == Repeats()


@pytest.mark.parametrize("name", ["companies.csv", "companies.jsonl"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_id_is_a_reject_that_names_file_row_and_column(tmp_path: Path, name: str, blank: str) -> None:
    rows = [{"id": "C1", "name": "a"}, {"id": blank, "name": "b"}, {"id": "C2", "name": "c"}]
    lines = [f"{r['id']},{r['name']}\n" for r in rows] if name.endswith("csv") else [json.dumps(r) + "\n" for r in rows]
    path = write(tmp_path, name, "".join(["id,name\n" if name.endswith("csv") else "", *lines]))
    found = listing(path)
    assert found.column("id") == ["C1", "C2"]
    (reject,) = found.rejects
    row = 3 if name.endswith("csv") else 2
    assert (reject.code, reject.place.file, reject.place.row, reject.place.column) == (
        codes.CODE_NO_ID,
        name,
        row,
        "id",
    )
    assert reject.message.startswith(f"{name}, row {row}, column id: the id is blank")
    assert connector(path).count(["companies"]) == {"companies": 3}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("id,name,city\nC1,a,b\nC2,a\nC3,a,b\n", "C2"),
        ("id,name,city\nC1,a,b\n C2 ,a,b,c\nC3,a,b\n", "C2"),
        ("id,name,city\nC1,a,b\n,a\nC3,a,b\n", None),
        ("id,name,city\nC1,a,b\n" + "x" * 300 + ",a\nC3,a,b\n", None),
        ("name,id,city\na,C1,b\na,C2\na,C3,b\n", None),
        ("name,city,size\na,C1,b\na,C2\na,C3,b\n", None),
    ],
    ids=["too few", "too many", "blank", "no id", "not first", "made"],
)
def test_a_ragged_row_is_told_with_its_id_where_that_is_certain(tmp_path: Path, text: str, named: str | None) -> None:
    (reject,) = listing(write(tmp_path, "companies.csv", text)).rejects
    assert (reject.code, reject.vendor_id) == (codes.CODE_RAGGED, named)


def test_repeats_are_kept_with_the_survey(looks: Looks) -> None:
    looks.write("companies.csv", companies(200, "C7,Seven,Köln"))
    first, read = looks.describe()
    assert read == ["companies"]
    told = first.objects["companies"].attributes["warnings"]
    assert ("1 value repeats" in told[0], "row 202" in told[1]) == (True, True)
    assert looks.describe() == (first, [])


def test_a_file_without_rows_says_so_and_nothing_of_ids(tmp_path: Path) -> None:
    assert warnings(write(tmp_path, "companies.csv", "name,city\n")) == ["It has no rows."]


def test_what_is_plainly_called_an_id() -> None:
    names = ["ID", "Record ID", "contact_id", "ContactId", "uuid", "account_id", "key", "contact number", "paid"]
    assert [name for name in names if is_plainly_id(name, "Contacts (all)")] == names[:5]


def test_slips_are_counted_beyond_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.files.identity._SPILL", 10)
    probe = UniqueProbe(strict=False)
    for start in range(0, 5000, 500):
        probe.feed([str(n) for n in range(start, start + 500)])
    probe.feed(["7", "", "4999"])
    assert not probe.unique()
    assert (probe.nearly(), probe.filled, probe.blank, probe.repeats) == (True, 5002, 1, 2)
    assert probe.repeated == {hash("7"), hash("4999")}


def test_many_repeats_are_not_remembered() -> None:
    probe = UniqueProbe(strict=False)
    probe.feed([str(n // 2) for n in range(10_000)])
    assert (probe.unique(), probe.nearly(), probe.repeated) == (False, False, set())
