"""A process that makes one call of the API and dies by SIGKILL in the middle of it. Run by test_idempotency.

python -m tests.api.crashing MOMENT KEY IDEMPOTENCY_KEY PATH
"""

from __future__ import annotations

import os
import signal
import sys

from fastapi.testclient import TestClient

from api import unit
from bootstrap.settings import load_settings
from bootstrap.wiring import Hub
from tests.api.probe import probing_app


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str, secret: str, key: str, path: str) -> None:
    commit = unit.Unit.commit
    if moment == "before-commit":
        unit.Unit.commit = die  # type: ignore[method-assign,assignment]
    elif moment == "after-commit":

        def committed(self: unit.Unit, *answer: object) -> None:
            commit(self, *answer)  # type: ignore[arg-type]
            die()

        unit.Unit.commit = committed  # type: ignore[method-assign,assignment]
    with TestClient(probing_app(Hub(load_settings(), pool_size=4))) as client:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}
        client.post(path, json={"name": "once"}, headers=headers)


if __name__ == "__main__":
    main(*sys.argv[1:])
