"""The API as it is served, as a process of its own, for `benchmarks.attacks`: ``python -m benchmarks.attacks_server PORT``."""

from __future__ import annotations

import sys

import uvicorn

from api.serving import application, config
from bootstrap.settings import load_settings
from bootstrap.wiring import Hub


def main(port: int) -> None:
    hub = Hub(load_settings().model_copy(update={"api_port": port}), pool_size=10)
    try:
        uvicorn.Server(config(application(hub), hub.settings)).run()
    finally:
        hub.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
