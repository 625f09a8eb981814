"""Keep-alive clients that send pre-built requests over raw sockets: a process of their own, so that they are no bottleneck.

    python -m benchmarks.intake.client HOST PORT REQUESTS CLIENTS SECONDS [RATE]

REQUESTS: a file of requests, each after its length as four bytes. With RATE (requests a second) each client keeps to its schedule,
and latency counts from the moment that a request was due. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop


def read_requests(path: Path) -> list[bytes]:
    raw, place, found = path.read_bytes(), 0, []
    while place < len(raw):
        size = int.from_bytes(raw[place : place + 4], "big")
        found.append(raw[place + 4 : place + 4 + size])
        place += 4 + size
    return found


class Client(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, load: Load, number: int) -> None:
        self._load, self._number = load, number
        self._seen = b""
        self._due = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._due = time.perf_counter() + self._load.period * self._number / self._load.clients
        self._next()

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
        self._load.answered(head[9:12].decode(), time.perf_counter() - self._due)
        self._due += self._load.period
        self._next()

    def _next(self) -> None:
        wait = self._due - time.perf_counter() if self._load.period else 0.0
        if wait > 0.0005:
            asyncio.get_running_loop().call_later(wait, self._send)
        else:
            self._send()

    def _send(self) -> None:
        request = self._load.take()
        if request is None:
            self._transport.close()
            return
        if not self._load.period:
            self._due = time.perf_counter()
        self._transport.write(request)

    def connection_lost(self, _error: Exception | None) -> None:
        self._load.gone()


class Load:
    def __init__(self, requests: list[bytes], clients: int, seconds: float, rate: float) -> None:
        self._requests, self.clients, self._seconds = iter(requests), clients, seconds
        self.period = clients / rate if rate else 0.0
        self.statuses: Counter[str] = Counter()
        self.took: list[float] = []
        self._open = clients
        self.done = asyncio.get_running_loop().create_future()
        self.began = time.perf_counter()
        self.ended = self.began

    def take(self) -> bytes | None:
        if time.perf_counter() - self.began > self._seconds:
            return None
        return next(self._requests, None)

    def answered(self, status: str, took: float) -> None:
        self.statuses[status] += 1
        self.took.append(took)
        self.ended = time.perf_counter()

    def gone(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set_result(None)


async def main(host: str, port: int, path: Path, clients: int, seconds: float, rate: float) -> dict[str, object]:
    load = Load(read_requests(path), clients, seconds, rate)
    began = time.process_time()
    loop = asyncio.get_running_loop()
    for number in range(clients):
        await loop.create_connection(lambda number=number: Client(load, number), host, port)  # type: ignore[misc]
    await load.done
    processor_s = time.process_time() - began
    took = sorted(load.took)
    spent = load.ended - load.began
    return {
        "statuses": dict(load.statuses),
        "seconds": round(spent, 3),
        "rps": round(len(took) / spent, 1),
        "p50_ms": round(1_000 * took[len(took) // 2], 2),
        "p99_ms": round(1_000 * took[len(took) * 99 // 100], 2),
        "processor_s": round(processor_s, 4),
        "processor_share": round(processor_s / spent, 2),
    }


if __name__ == "__main__":
    host, port, path, clients, seconds, *rate = sys.argv[1:]
    given = float(rate[0]) if rate else 0.0
    print(json.dumps(uvloop.run(main(host, int(port), Path(path), int(clients), float(seconds), given))))
