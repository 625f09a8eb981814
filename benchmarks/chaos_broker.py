"""Brokers of a chaos run's own, a process each: killed and started again while workers listen to them.

A Redis that is killed forgets everything. A RabbitMQ that is killed keeps its durable queues and what was confirmed to stand in
them, so that workers see messages once more whose work was done; emptied, it loses what nobody has done yet.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar

_STOP_S = 60.0


class OwnBroker:
    """Use as a context manager. Raises RuntimeError where its program is not installed, or it does not start."""

    name: ClassVar[str]
    program: ClassVar[str]
    start_s: ClassVar[float]

    def __init__(self, home: Path) -> None:
        self._command, self._home = self._found(), home
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `BROKER_URL` is to be."""
        raise NotImplementedError

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _found(self) -> str:
        found = shutil.which(self.program)
        if found is None:
            raise RuntimeError(f"There is no {self.program} here: install it, or give the URL of a broker.")
        return found

    def _argv(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def __enter__(self) -> OwnBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with (self._home / f"{self.program}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._argv(), cwd=self._home, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + self.start_s
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.program} does not start.")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to it and everything it started: nothing gets a chance to tidy up."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it closes its connections and writes down what it keeps."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self._process is None or not self.runs:
            return
        os.killpg(self._process.pid, number)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


class OwnRedis(OwnBroker):
    """A Redis that writes nothing to disk."""

    name, program, start_s = "Redis", "redis-server", 10.0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def _argv(self) -> Sequence[str]:
        listen = ("--bind", "127.0.0.1", "--port", str(self._port))
        return (self._command, *listen, "--save", "", "--appendonly", "no")


class OwnRabbit(OwnBroker):
    """A RabbitMQ node beside whatever other one runs here: its own name, ports, cookie and folders."""

    name, program, start_s = "RabbitMQ", "rabbitmq-server", 120.0

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._distribution_port = _free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}"

    def _found(self) -> str:
        """The program itself: Debian's wrapper of that name runs as one user alone, and forgets the environment."""
        found = Path(super()._found())
        beside = found.resolve().parent / self.program
        return str(beside.resolve() if beside.exists() else found)

    def _argv(self) -> Sequence[str]:
        return (self._command,)

    def _environment(self) -> Mapping[str, str]:
        folder = self._home / "rabbitmq"
        folder.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return kept | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"chaos-{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        }


OWN: Mapping[str, type[OwnBroker]] = {"redis": OwnRedis, "rabbitmq": OwnRabbit}
"""What ``--broker`` may name instead of a URL."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
