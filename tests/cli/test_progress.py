from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.progress import ProgressView, counts, speed
from migration.progress import Progress


class Watch:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=200), stream


def event(done: int, *, phase: str = "load", of: str = "Contact", finished: bool = False, **more: object) -> Progress:
    return Progress(of, phase, done, total=20_000, finished=finished, **more)  # type: ignore[arg-type]


def test_first_line_comes_at_once() -> None:
    console, stream = plain()
    with ProgressView(console, clock=Watch()) as view:
        view(event(0))
        assert stream.getvalue() == "Contact: load 0 of 20,000\n"


def test_lines_come_every_two_seconds_and_not_more_often() -> None:
    console, stream = plain()
    watch = Watch()
    with ProgressView(console, clock=watch) as view:
        for done in range(0, 10_000, 100):
            view(event(done))
            watch.now += 0.1
    lines = stream.getvalue().splitlines()
    assert 5 <= len(lines) <= 7
    assert lines[-1].startswith("Contact: load 9,900")


def test_every_phase_ends_with_its_last_number() -> None:
    console, stream = plain()
    with ProgressView(console, clock=Watch()) as view:
        view(event(0, phase="extract"))
        view(event(5, phase="extract"))
        view(event(20_000, phase="extract", finished=True))
        view(event(0, phase="load"))
        view(event(7, phase="load", of="Contact"))
        view(event(0, phase="extract", of="Lead"))
    assert stream.getvalue().splitlines() == [
        "Contact: extract 0 of 20,000",
        "Contact: extract 20,000 of 20,000",
        "Contact: load 7 of 20,000",
        "Lead: extract 0 of 20,000",
    ]


def test_objects_that_take_turns_say_each_number_once() -> None:
    console, stream = plain()
    with ProgressView(console, clock=Watch()) as view:
        view(event(0))
        view(event(5))
        view(event(0, phase="extract", of="Lead"))
        view(event(5, finished=True))
    lines = stream.getvalue().splitlines()
    assert lines.count("Contact: load 5 of 20,000") == 1


def test_a_final_number_is_said_once_even_if_zeros_join_it() -> None:
    console, stream = plain()
    with ProgressView(console, clock=Watch()) as view:
        view(event(0, of="Account"))
        view(event(10, counts={"created": 10}))
        view(event(0, phase="extract", of="Lead"))
        view(event(10, counts={"created": 10, "merged": 0}))
        view(event(10, counts={"created": 10, "merged": 0}, finished=True))
        view(event(10, counts={"created": 10, "updated": 0}, finished=True))
    assert stream.getvalue().splitlines() == [
        "Account: load 0 of 20,000",
        "Contact: load 10 of 20,000 · 10 created",
        "Lead: extract 0 of 20,000",
    ]


def test_objects_that_take_turns_do_not_fill_the_screen_with_beginnings() -> None:
    console, stream = plain()
    with ProgressView(console, clock=Watch()) as view:
        view(event(0, of="Account"))
        for _ in range(5):
            view(event(0, phase="extract", of="Lead"))
            view(event(0))
        view(event(20_000, phase="extract", of="Lead", finished=True))
        view(event(20_000, finished=True))
    assert stream.getvalue().splitlines() == [
        "Account: load 0 of 20,000",
        "Lead: extract 20,000 of 20,000",
        "Contact: load 20,000 of 20,000",
    ]


def test_nothing_is_said_when_nothing_happens() -> None:
    console, stream = plain()
    with ProgressView(console):
        pass
    assert stream.getvalue() == ""


def test_object_names_are_not_markup() -> None:
    console, stream = plain()
    with ProgressView(console) as view:
        view(event(0, of="[red]x[/red]"))
    assert "[red]x[/red]: load" in stream.getvalue()


def test_terminal_gets_one_row_an_object_with_rate_time_left_and_counts() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160, color_system=None)
    with ProgressView(console) as view:
        view(event(0, of="Account"))
        view(event(5_000, rate=2_500.0, counts={"created": 4_900, "merged": 100, "rejected": 0}))
    shown = stream.getvalue()
    assert "Account" in shown
    assert "5000/20000" in shown
    assert "2,500/s, 6 s left" in shown
    assert "4,900 created, 100 merged" in shown
    assert "rejected" not in shown


@pytest.mark.parametrize(
    ("rate", "done", "text"),
    [
        (None, 5, ""),
        (0.0, 5, ""),
        (100.0, 20_000, "100/s"),
        (100.0, 19_000, "100/s, 10 s left"),
        (1.0, 0, "1/s, 5 h 33 min left"),
    ],
)
def test_speed(rate: float | None, done: int, text: str) -> None:
    assert speed(event(done, rate=rate)) == text


def test_speed_of_an_unknown_total_has_no_time_left() -> None:
    assert speed(Progress("Contact", "extract", 10, None, 5.0)) == "5/s"


def test_counts_leave_zeros_out() -> None:
    assert counts({"created": 0, "merged": 3}) == "3 merged"
