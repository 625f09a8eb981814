"""Driving the command line as a user would, in this process, on this worker's database."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bootstrap import redact
from bootstrap.settings import Settings, variable_name
from cli.main import run
from storage.embedded import ServerUrls


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.err.strip().splitlines()[-1])["error"]  # type: ignore[no-any-return]


Syncline = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, and no setting from outside."""
    monkeypatch.setattr(redact, "_known", OrderedDict())
    monkeypatch.setattr(redact, "_for_good", set())
    monkeypatch.setattr("logging.captureWarnings", lambda capture: None)  # warnings stay errors in tests
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_name(name), raising=False)
    monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(__file__).resolve().parents[2])
    )  # for children, in whatever folder they start
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def syncline(
    database_urls: ServerUrls, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Syncline:
    """``syncline("connections", "list", "--json")`` for a tenant of the test's own."""
    monkeypatch.setenv("DATABASE_URL", database_urls.app)
    monkeypatch.setenv("DATABASE_ADMIN_URL", database_urls.admin)
    monkeypatch.setenv("SYNCLINE_TENANT", str(tenant_id))

    def invoke(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return invoke
