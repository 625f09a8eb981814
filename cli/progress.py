"""Progress on screen: a bar an object on a terminal, plain lines elsewhere. The first line comes at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from cli.output import Output, duration

_LINE_EVERY_S = 2.0


class Event(Protocol):
    """What a long job reports: `migration.progress.Progress` and whatever else says the same."""

    @property
    def object(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def finished(self) -> bool: ...


class ProgressView:
    """Shows events until it is left. Use as a context manager; calling it with an event is cheap."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._bars = _Bars(console) if console.is_terminal else None
        self._lines = _Lines(console, clock)

    def __enter__(self) -> ProgressView:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()
        else:
            self._lines.finish()

    def __call__(self, event: Event) -> None:
        if self._bars:
            self._bars.show(event)
        else:
            self._lines.show(event)


@contextmanager
def watched(out: Output, *, go_on: str = "") -> Iterator[ProgressView]:
    """Progress on stderr; after Ctrl-C, a sentence on how to go on."""
    try:
        with ProgressView(out.status) as view:
            yield view
    except KeyboardInterrupt:
        out.say("Stopped." + (f" What is done is kept. Go on with: [bold]{go_on}[/bold]" if go_on else ""))
        raise


class _Bars:
    """One row an object; it shows the phase that the object is in."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", justify="left"),
            TextColumn("{task.fields[phase]}", style="dim"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", style="cyan"),
            TextColumn("{task.fields[counts]}", style="dim"),
            console=console,
            refresh_per_second=8,
        )
        self._tasks: dict[str, TaskID] = {}

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        task = self._tasks.get(event.object)
        if task is None:
            task = self._tasks[event.object] = self._progress.add_task(
                escape(event.object), total=event.total, phase="", speed="", counts=""
            )
        self._progress.update(
            task,
            total=event.done if event.finished else event.total,
            completed=event.done,
            phase=event.phase,
            speed=speed(event),
            counts=counts(event.counts),
        )


class _Lines:
    """The first event at once, then one line for each finished phase of an object, and one every two seconds meanwhile."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._at = float("-inf")
        self._unsaid: dict[tuple[str, str], Event] = {}
        self._said: dict[tuple[str, str], tuple[int, str]] = {}

    def show(self, event: Event) -> None:
        if event.finished or self._clock() - self._at >= _LINE_EVERY_S:
            self._say(event)
        else:
            self._unsaid[event.object, event.phase] = event

    def finish(self) -> None:
        """Say how far phases came that did not finish."""
        for event in list(self._unsaid.values()):
            self._say(event)

    def _say(self, event: Event) -> None:
        self._at = self._clock()
        key, news = (event.object, event.phase), (event.done, counts(event.counts))
        self._unsaid.pop(key, None)
        if self._said.get(key) == news:  # objects take turns, and a phase may end with the number that was said before
            return
        self._said[key] = news
        of = f" of {event.total:,}" if event.total is not None and event.done <= event.total else ""
        parts = [f"{event.object}: {event.phase} {event.done:,}{of}", speed(event), news[1]]
        self._console.print(escape(" · ".join(part for part in parts if part)))


def speed(event: Event) -> str:
    """Records a second and the time left: ``8,500/s, 2 s left``."""
    if not event.rate:
        return ""
    text = f"{event.rate:,.0f}/s"
    if event.total and event.done < event.total:
        text += f", {duration((event.total - event.done) / event.rate)} left"
    return text


def counts(numbers: Mapping[str, int]) -> str:
    """Outcomes so far: ``1,200 created, 30 merged``; zeros are left out."""
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number)
