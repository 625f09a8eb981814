"""A sandbox vendor as a child process, for as long as a command runs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType

from domain.errors import TransientError

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.05


class SandboxProcess:
    """``syncline sandbox VENDOR`` on a free loopback port. Use as a context manager.

    The child has a session of its own, so that Ctrl-C reaches only us and we stop it in order; and it stops by itself when
    its stdin closes, so that not even kill -9 of the parent leaves it behind.
    """

    def __init__(self, vendor: str, options: Sequence[str], log: Path) -> None:
        self.vendor = vendor
        self.port = _free_port()
        self.log = log
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> SandboxProcess:
        command = [sys.executable, "-m", "cli.child", "sandbox", self.vendor, "--port", str(self.port), *self._options]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            self._wait_until_listening(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the child and wait for its end. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise TransientError(
                    f"The sandbox {self.vendor} ended while starting.", remedy=f"Its output is in {self.log}.",
                    code="sandbox_failed",
                )  # fmt: skip
            with closing(socket.socket()) as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(_POLL_S)
        raise TransientError(
            f"The sandbox {self.vendor} does not answer.", remedy=f"Its output is in {self.log}.", code="sandbox_failed"
        )


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
