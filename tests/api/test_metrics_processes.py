"""An API of several processes counts as one: whichever of them is scraped, nothing that was counted before is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import httpx2 as httpx
import psutil

from storage.embedded import ServerUrls
from storage.vault import MasterKeys
from tests.api.test_intake_process import serving

T = TypeVar("T")
TOKEN = "the-scrape-token"
ASKED = 'route="/v1/me",status="401"'


def _servers(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of those that serve."""
    children = psutil.Process(process.pid).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def _two(process: subprocess.Popen[str]) -> list[int]:
    """Both that serve, once they have started: who is told to stand still before that is replaced."""
    found = _servers(process)
    before = [psutil.Process(pid).cpu_times().user for pid in found]
    time.sleep(1)
    busy = sum(psutil.Process(pid).cpu_times().user for pid in found) - sum(before)
    return found if len(found) == 2 and min(before) > 0.5 and busy < 0.1 else []


def _until(look: Callable[[], T], what: str) -> T:
    """The first true thing that ``look`` returns."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        with suppress(httpx.TransportError, psutil.NoSuchProcess):
            if found := look():
                return found
        time.sleep(0.5)
    raise AssertionError(f"in vain: {what}")


@contextmanager
def _alone(pids: list[int], pid: int) -> Iterator[None]:
    """Only ``pid`` answers: the others stand still, for less than the five seconds after which they would be replaced."""
    others = [p for p in pids if p != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def _answers(url: str, pids: list[int], pid: int) -> bool:
    with _alone(pids, pid):
        return httpx.get(f"{url}/health/live", timeout=2).status_code == 200


def _scrape(url: str) -> str:
    reply = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
    assert reply.status_code == 200
    return reply.text


def _counted(text: str) -> float:
    lines = [line for line in text.splitlines() if line.startswith("syncline_http_requests_total") and ASKED in line]
    assert len(lines) <= 1, "a series is there once"
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def test_a_scrape_of_any_process_tells_of_all(database_urls: ServerUrls, tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    MasterKeys.load(home)
    more = {"SYNCLINE_API_WORKERS": "2", "SYNCLINE_METRICS_TOKEN": TOKEN, "TMPDIR": str(temporary)}
    with serving(home, database_urls.app, **more) as (process, url):
        pids = _until(lambda: _two(process), "two processes")
        for pid in pids:
            _until(lambda pid=pid: _answers(url, pids, pid), "an answer of each")  # type: ignore[misc]
        seen = []
        for pid in [*pids, *pids, *pids]:
            with _alone(pids, pid):
                assert httpx.get(f"{url}/v1/me", timeout=20).status_code == 401
                text = _scrape(url)
            seen.append(_counted(text))
            assert text.count("# TYPE syncline_scrape_ok ") == text.count("\nsyncline_scrape_ok 1.0") == 1
        assert seen == [1, 2, 3, 4, 5, 6]
        assert [place.stat().st_mode & 0o777 for place in temporary.iterdir()] == [0o700]
        os.kill(pids[0], signal.SIGKILL)
        now = _until(lambda: [] if pids[0] in (two := _two(process)) else two, "another in its place")
        new = next(pid for pid in now if pid not in pids)
        _until(lambda: _answers(url, now, new), "an answer of the new one")
        with _alone(now, new):
            assert _counted(_scrape(url)) == 6
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert list(temporary.iterdir()) == []
