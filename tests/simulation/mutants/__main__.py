"""Plant each bug in a copy of the engine, run the probe over it, and tell which ones nobody noticed.

The last line is JSON: {"planted": n, "killed": n, "survivors": [...]}.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.model import Mutant

ROOT = Path(__file__).parents[3]
COPIED = ("sync_engine", "tests/__init__.py", "tests/simulation", "tests/sync_engine")
AT_ONCE = 2


def plant(mutant: Mutant, folder: Path) -> None:
    """Copy what the probe imports into ``folder``, with the bug in it. Raises ValueError where its place is gone."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    path = folder / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text stands {text.count(mutant.old)} times in {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new))


def probed(mutant: Mutant) -> tuple[Mutant, bool, str]:
    """Whether anything noticed the bug, and what."""
    with tempfile.TemporaryDirectory() as name:
        plant(mutant, Path(name))
        command = [sys.executable, "-m", "tests.simulation.mutants.probe"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=name, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGXCPU:
        return mutant, True, "it never ended"
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
    return mutant, done.returncode != 0, said[0] if done.returncode and said else ""


def main(names: list[str]) -> int:
    """Probe all mutants, or those named. Returns 1 where one survives."""
    chosen = [m for m in MUTANTS if not names or m.name in names]
    survivors = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mutant, killed, by in pool.map(probed, chosen):
            sys.stdout.write(f"{'killed  ' if killed else 'SURVIVED'} {mutant.name}: {mutant.trap} [{by[:110]}]\n")
            sys.stdout.flush()
            if not killed:
                survivors.append(mutant.name)
    summary = {"planted": len(chosen), "killed": len(chosen) - len(survivors), "survivors": survivors}
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
