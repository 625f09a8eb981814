"""docker-compose.yml is held to what the product is: it cannot be started here, but it can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.settings import Settings, variable_name
from cli.reference import command_paths
from workers.service import HANDED_BACK_S

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BUILT = [name for name, service in SERVICES.items() if "build" in service]
PULLED = {name: service for name, service in SERVICES.items() if "image" in service}


@pytest.mark.parametrize("name", PULLED)
def test_images_are_pinned_to_a_full_version(name: str) -> None:
    assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", PULLED[name]["image"])


@pytest.mark.parametrize("name", PULLED)
def test_services_tell_whether_they_are_healthy(name: str) -> None:
    assert {"test", "interval", "timeout", "retries"} <= set(PULLED[name]["healthcheck"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_file(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASS|KEY|SECRET|TOKEN", key):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", str(value)), f"{name}.{key} holds a literal secret"
        assert not re.search(r"://[^:/]+:[^$@]+@", str(value)), f"{name}.{key} holds a password"


def test_syncline_waits_for_a_healthy_database() -> None:
    assert SERVICES["syncline"]["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", BUILT)
def test_syncline_gets_only_settings_that_exist(name: str) -> None:
    known = {variable_name(name) for name in Settings.model_fields}
    assert set(SERVICES[name]["environment"]) <= known


def test_workers_have_time_to_stop() -> None:
    most_s = Settings.model_fields["stop_within_s"].default + HANDED_BACK_S
    assert all(int(SERVICES[n]["stop_grace_period"].rstrip("s")) > most_s for n in ("worker", "scheduler"))


def test_the_database_url_leads_to_the_database_service() -> None:
    database = SERVICES["postgres"]["environment"]
    url = SERVICES["syncline"]["environment"]["DATABASE_URL"]
    assert url.startswith(f"postgresql://{database['POSTGRES_USER']}:")
    assert url.endswith(f"@postgres:5432/{database['POSTGRES_DB']}")


@pytest.mark.parametrize("name", BUILT)
def test_the_default_command_exists(name: str) -> None:
    assert tuple(SERVICES[name]["command"]) in command_paths()


def test_commands_in_the_comments_exist() -> None:
    lines = [
        line.lstrip("# ") for line in (ROOT / "docker-compose.yml").read_text().splitlines() if line.startswith("#")
    ]
    runs = [shlex.split(line) for line in lines if line.startswith("docker compose run")]
    assert runs
    for words in runs:
        given = words[words.index("syncline") + 1 :]
        assert any(tuple(given[:n]) in command_paths() for n in (1, 2)), given


def test_what_nothing_uses_yet_does_not_start_by_itself() -> None:
    assert {name for name, service in SERVICES.items() if not service.get("profiles")} == {"postgres"}


def test_every_volume_is_declared() -> None:
    used = {str(v).split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_the_image_is_pinned_and_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert re.match(r"FROM python:\d+\.\d+-slim-\w+$", next(line for line in lines if line.startswith("FROM")))
    assert "USER syncline" in lines
    assert any("--require-hashes" in line for line in lines)
