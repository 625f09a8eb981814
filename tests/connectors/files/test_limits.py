"""Nothing that a file holds makes memory grow beyond its bound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.files import rejects as codes
from domain.errors import ConfigurationError

from .support import connector, listing, write

HUGE = 256 << 20
GROWTH_MAX = 64 << 20

MEASURE = """
import resource, sys
from pathlib import Path
from tests.connectors.files.support import listing, write
listing(write(Path(sys.argv[1]) / "warm", "t.csv", "id,name\\n" + "1,x\\n" * 1000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = listing(Path(sys.argv[1]) / "huge")
print(len(found.rows), len(found.rejects), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def sparse(path: Path, head: bytes, tail: bytes) -> None:
    """A file with 256 MiB of zero bytes in its middle that takes no room on the disk."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as out:
        out.write(head)
        out.seek(HUGE)
        out.write(tail)


@pytest.mark.parametrize(
    ("name", "head", "tail", "rows"),
    [
        ("t.csv", b"id,name\n1,Ann\n2,", b"\n3,Cy\n", 2),
        ("t.csv", b'id,name\n1,Ann\n2,"', b"", 1),
        ("t.jsonl", b'{"id": 1}\n', b'\n{"id": 3}\n', 2),
    ],
    ids=["a line", "a line without end", "JSON"],
)
def test_a_line_far_beyond_the_limit_is_refused_within_bounded_memory(
    tmp_path: Path, name: str, head: bytes, tail: bytes, rows: int
) -> None:
    """In its own process: the peak is of a whole process."""
    sparse(tmp_path / "huge" / name, head, tail)
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    found, rejected, growth = map(int, done.stdout.split())
    assert (found, rejected) == (rows, 1)
    assert growth < GROWTH_MAX


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_huge_cell_is_a_reject_and_the_next_row_is_read(tmp_path: Path, quote: str) -> None:
    cell = quote + "x" * (3 << 20) + quote
    path = write(tmp_path, "contacts.csv", f"id,note\n1,a\n2,{cell}\n3,b\n4,c\n")
    found = listing(path, max_cell_mb="1")
    assert found.column("id") == ["1", "3", "4"]
    assert [(r.code, r.place.row) for r in found.rejects] == [(codes.CODE_TOO_LARGE, 3)]
    assert listing(path).column("id") == ["1", "2", "3", "4"]


def test_a_large_cell_of_many_lines_is_read(tmp_path: Path) -> None:
    note = "line\n" * 600_000
    found = listing(write(tmp_path, "contacts.csv", f'id,note\n1,a\n2,"{note}"\n3,b\n'))
    assert found.column("note") == ["a", note, "b"]


def test_a_first_line_without_end_is_no_header(tmp_path: Path) -> None:
    schema = connector(write(tmp_path, "contacts.csv", b"x" * (1 << 20))).describe().objects["contacts"]
    assert "first line is longer than" in schema.attributes["problem"]


@pytest.mark.parametrize("value", ["0", "-1", "many", "²", "2000"])
def test_the_limit_is_a_number_of_megabytes(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match="max_cell_mb"):
        connector(tmp_path, max_cell_mb=value)
