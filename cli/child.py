"""Runs a module as a child that cannot outlive its parent: when stdin closes, for whatever reason, it stops like after Ctrl-C.

``python -m cli.child sandbox salesforce --port 8123``
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _watch_parent() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Run ``sys.argv[1]`` with the remaining arguments."""
    sys.argv = sys.argv[1:]
    threading.Thread(target=_watch_parent, daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
