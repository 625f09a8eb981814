"""Keep-alive clients that send pre-built requests over raw sockets: a process of their own, so that they are no bottleneck.

    python -m benchmarks.intake.client HOST PORT REQUESTS CLIENTS SECONDS [RATE [ANSWERS]]

REQUESTS: a file of requests, each after its length as four bytes. With RATE (requests a second; 0: as fast as it goes) each client
keeps to its schedule, and latency counts from the moment that a request was due: who has to wait is late for the next ones, too.
A connection that ends is made anew for the next request; a request that was not answered on it is counted and not sent again.
ANSWERS: a file to write, a line for each request: its number in REQUESTS, its status (or `refused`, `broken`, `unanswered`), when
it was due and when it was answered, by the clock that all processes share. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

WAITED_S: Final = 30.0
"""What is not answered so long after the last request was due is not waited for any more."""
REFUSED, BROKEN, UNANSWERED = "refused", "broken", "unanswered"


class Heard(NamedTuple):
    """What became of a request. ``due`` and ``at`` in seconds of `time.perf_counter`."""

    number: int
    status: str
    due: float
    at: float

    @property
    def answered(self) -> bool:
        return self.status.isdigit()


def read_requests(path: Path) -> list[bytes]:
    raw, place, found = path.read_bytes(), 0, []
    while place < len(raw):
        size = int.from_bytes(raw[place : place + 4], "big")
        found.append(raw[place + 4 : place + 4 + size])
        place += 4 + size
    return found


def read_answers(path: Path) -> list[Heard]:
    """What a client wrote to ANSWERS."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [Heard(int(number), status, float(due), float(at)) for number, status, due, at in lines]


def share(took: list[float], part: float) -> float:
    """The latency, in milliseconds, that ``part`` of all requests did not exceed. ``took``: seconds, sorted."""
    return round(1_000 * took[min(int(len(took) * part), len(took) - 1)], 2) if took else 0.0


class Client:
    """One request after the other, each on the connection of the one before, as long as that lives."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._due = time.perf_counter() + load.period * number / load.clients
        self._line: Line | None = None
        self._number = -1
        """The request under way; -1: none."""

    def begin(self) -> None:
        """Send what is due next, when it is due."""
        wait = self._due - time.perf_counter() if self._load.period else 0.0
        if wait > 0.0005:
            asyncio.get_running_loop().call_later(wait, self._send)
        else:
            self._send()

    def heard(self, line: Line | None, status: str, *, close: bool = False) -> None:
        """The request on ``line`` was answered, or will not be."""
        if line is not self._line:
            return
        if close:
            self._line = None
        if self._number < 0:
            return
        number, self._number = self._number, -1
        self._load.heard(Heard(number, status, self._due, time.perf_counter()))
        self._due += self._load.period
        self.begin()

    def give_up(self) -> None:
        self.heard(self._line, UNANSWERED, close=True)

    def _send(self) -> None:
        found = self._load.take()
        if found is None:
            if self._line is not None:
                self._line.transport.close()
            self._load.gone()
            return
        self._number, request = found
        if not self._load.period:
            self._due = time.perf_counter()
        if self._line is None:
            self._load.spawn(self._connect(request))
        else:
            self._line.transport.write(request)

    async def _connect(self, request: bytes) -> None:
        line = Line(self)
        try:
            await asyncio.get_running_loop().create_connection(lambda: line, *self._load.address)
        except OSError:
            self.heard(None, REFUSED)
        else:
            self._line = line
            line.transport.write(request)


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, found, rest = self._seen.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        if len(rest) < int(lower[at + 15 :].split(b"\r\n", 1)[0]):
            return
        self._seen = b""
        close = b"connection: close" in lower
        if close:
            self.transport.close()
        self._client.heard(self, head[9:12].decode(), close=close)

    def connection_lost(self, _error: Exception | None) -> None:
        self._client.heard(self, BROKEN, close=True)


class Load:
    def __init__(
        self, requests: list[bytes], address: tuple[str, int], clients: int, seconds: float, rate: float
    ) -> None:
        self._requests, self.address, self.clients, self._seconds = enumerate(requests), address, clients, seconds
        self.period = clients / rate if rate else 0.0
        self.answers: list[Heard] = []
        self._open = clients
        self._tasks: set[asyncio.Task[None]] = set()
        self.done = asyncio.get_running_loop().create_future()
        self.began, self._processor_began = time.perf_counter(), time.process_time()

    @property
    def processor_s(self) -> float:
        return time.process_time() - self._processor_began

    def take(self) -> tuple[int, bytes] | None:
        if time.perf_counter() - self.began > self._seconds:
            return None
        return next(self._requests, None)

    def heard(self, what: Heard) -> None:
        self.answers.append(what)

    def spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def gone(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set_result(None)


async def main(host: str, port: int, path: Path, clients: int, seconds: float, rate: float) -> Load:
    load = Load(read_requests(path), (host, port), clients, seconds, rate)
    all_of_them = [Client(load, number) for number in range(clients)]
    for client in all_of_them:
        client.begin()
    try:
        await asyncio.wait_for(asyncio.shield(load.done), seconds + WAITED_S)
    except TimeoutError:
        for client in all_of_them:
            client.give_up()
        await load.done
    return load


def told(load: Load) -> dict[str, object]:
    """Figures of all that was answered, whatever the answer."""
    answered = [heard for heard in load.answers if heard.answered]
    took = sorted(heard.at - heard.due for heard in answered)
    processor_s = load.processor_s
    spent = max((heard.at for heard in answered), default=load.began) - load.began
    return {
        "statuses": dict(Counter(heard.status for heard in load.answers)),
        "seconds": round(spent, 3),
        "rps": round(len(took) / spent, 1) if spent else 0.0,
        "p50_ms": share(took, 0.5),
        "p99_ms": share(took, 0.99),
        "p999_ms": share(took, 0.999),
        "max_ms": share(took, 1),
        "processor_s": round(processor_s, 4),
        "processor_share": round(processor_s / spent, 2) if spent else 0.0,
    }


if __name__ == "__main__":
    host, port, path, clients, seconds, *more = sys.argv[1:]
    given = float(more[0]) if more else 0.0
    found = uvloop.run(main(host, int(port), Path(path), int(clients), float(seconds), given))
    print(json.dumps(told(found)))
    if len(more) > 1:
        with Path(more[1]).open("w") as file:
            file.writelines(f"{h.number} {h.status} {h.due:.6f} {h.at:.6f}\n" for h in found.answers)
