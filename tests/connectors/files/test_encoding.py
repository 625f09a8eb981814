"""Encodings: told by a mark, proven by UTF-8's own structure, or guessed and said to be."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from connectors.files.encoding import MARK, Encoding, detect, named
from domain.errors import ConfigurationError

from .support import connector, listing, write

WESTERN = ["José García", "Zoë Müller-Straße", "François Lefèvre", "Ångström Ørsted", "“Quoted” – 5 €"]
JAPANESE = ["山田太郎", "東京都千代田区", "株式会社ソニー表示", "ｱｲｳｴｵ"]
POLISH = ["Łukasz Żółć", "Grażyna Wiśniewska", "Świętosława Dąbrowska"]
RUSSIAN = ["Иван Петров", "Мария Сидорова", "Москва, улица Ленина"]


def table(names: list[str], times: int = 20) -> str:
    rows = [f"{n},{name.replace(',', '')},{n}@x.example" for n, name in enumerate(names * times)]
    return "id,name,email\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        *[(e, WESTERN) for e in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252")],
        *[(e, JAPANESE) for e in ("utf-8", "utf-16", "cp932", "shift_jis", "euc_jp")],
        *[(e, RUSSIAN) for e in ("utf-8", "cp1251")],
        ("cp1250", POLISH),
        ("latin-1", [name for name in WESTERN if "€" not in name]),
    ],
)
def test_names_come_out_right(tmp_path: Path, encoding: str, names: list[str]) -> None:
    found = listing(write(tmp_path, "people.csv", table(names).encode(encoding)))
    assert found.rejects == []
    assert found.column("name") == [name.replace(",", "") for name in names] * 20


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark(tmp_path: Path, encoding: str) -> None:
    found = listing(write(tmp_path, "people.csv", table(["Jose", "Zoe"]).encode(encoding)))
    assert found.column("name")[:2] == ["Jose", "Zoe"]


@pytest.mark.parametrize("names", [["José"], ["Zoë", "Ann", "Bob"], ["Müller"]])
def test_one_accented_name_is_enough(tmp_path: Path, names: list[str]) -> None:
    found = listing(write(tmp_path, "people.csv", table(names, times=1).encode("cp1252")))
    assert found.column("name") == names


def test_a_guess_says_that_it_is_one(tmp_path: Path) -> None:
    schema = connector(write(tmp_path, "people.csv", table(WESTERN).encode("cp1252"))).describe().objects["people"]
    assert schema.attributes["read_as"]["people.csv"]["encoding"] == "cp1252"
    assert any("set encoding" in warning for warning in schema.attributes["warnings"])


def test_legacy_bytes_that_first_appear_late_are_not_rejected(tmp_path: Path) -> None:
    rows = "".join(f"{n},name,x\n" for n in range(60_000))
    content = ("id,name,note\n" + rows).encode() + "60000,José,x\n60001,Zoë,y\n60002,Müller,z\n".encode("cp1252")
    found = listing(write(tmp_path, "people.csv", content))
    assert found.rejects == []
    assert found.column("name")[-3:] == ["José", "Zoë", "Müller"]


def test_broken_bytes_in_utf_8_reject_their_rows_only(tmp_path: Path) -> None:
    content = table(WESTERN).encode() + b"998,Caf\xe9,x@x.example\n" + "999,Zoë,y@x.example\n".encode()
    found = listing(write(tmp_path, "people.csv", content))
    assert [(r.place.row, r.place.column) for r in found.rejects] == [(102, "name")]
    assert found.column("name")[-1] == "Zoë"


def test_half_a_character_at_the_end_of_utf_16(tmp_path: Path) -> None:
    content = "\ufeffid,name\n1,Ann\n2,Bob".encode("utf-16-le") + b"\x41"
    found = listing(write(tmp_path, "people.csv", content))
    assert [r.place.row for r in found.rejects] == [3]
    assert found.column("name") == ["Ann"]


@pytest.mark.parametrize("name", ["utf-8", "cp1252", "cp932", "utf-16-le", "utf-16-be"])
def test_marked_text_encodes_to_as_many_bytes(name: str) -> None:
    encoding = Encoding(name)
    raw = bytes(range(256))
    marked = encoding.decode_marked(raw)
    assert len(encoding.encode_marked(marked)) == len(raw)
    assert MARK.search(marked)


@pytest.mark.parametrize(
    ("raw", "last", "first"),
    [(b"a\nb\nc", 4, 2), (b"a\r\nb\r", 3, 3), (b"a\rb\rc", 4, 2), (b"abc", 0, 0), (b"ab\r", 0, 0), (b"\r\n", 2, 2)],
)
def test_line_breaks_are_whole(raw: bytes, last: int, first: int) -> None:
    encoding = Encoding("utf-8")
    assert (encoding.last_break(raw), encoding.first_break(raw)) == (last, first)


def test_line_breaks_of_wide_characters_are_aligned() -> None:
    text = "\u0a0d\u0d0a\n\u0a00x"  # letters whose bytes look like line breaks
    for name in ("utf-16-le", "utf-16-be"):
        encoding = Encoding(name)
        raw = text.encode(name)
        assert encoding.last_break(raw) == encoding.first_break(raw) == 6


def test_unknown_encodings_need_a_person() -> None:
    for name in ("klingon", "base64", "rot13"):
        with pytest.raises(ConfigurationError, match="no known text encoding"):
            named(name)


def test_a_mark_tells_more_than_the_setting() -> None:
    assert detect(io.BytesIO("\ufeffid\n".encode()), "cp1252").name == "utf-8"
