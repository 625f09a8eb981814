"""docker-compose.yml is held to what the product is: it cannot be started here, but it can be read."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from api.app import describe
from bootstrap.metrics import FAMILIES, PROCESS_FAMILIES
from bootstrap.settings import Settings, variable_name
from cli.reference import command_paths
from workers.service import HANDED_BACK_S

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BUILT = [name for name, service in SERVICES.items() if "build" in service]
LASTING = [name for name, service in SERVICES.items() if "tools" not in service.get("profiles", ())]
"""What runs until it is stopped, not a command at a time."""
PULLED = {name: service for name, service in SERVICES.items() if "image" in service}
MOUNTS = [(*str(volume).split(":"), "")[:3] for service in SERVICES.values() for volume in service.get("volumes", [])]
"""What is mounted: source, target, options."""

DEPLOY = ROOT / "deploy"
GRAFANA = DEPLOY / "grafana"
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/syncline.json").read_text())
EXPRESSIONS = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}


def _shown() -> dict[str, set[str]]:
    """Every name that Prometheus stores, with its labels."""
    shown = {"up": {"job", "instance"}}
    for name, family in (FAMILIES | PROCESS_FAMILIES).items():
        histogram = name in PROCESS_FAMILIES and not family.counter
        endings = ("_total",) if family.counter else ("_bucket", "_sum", "_count") if histogram else ("",)
        for ending in endings:
            shown[name + ending] = {"job", "instance", *family.labels} | ({"le"} if ending == "_bucket" else set())
    return shown


SHOWN = _shown()


@pytest.mark.parametrize("name", PULLED)
def test_images_are_pinned_to_a_full_version(name: str) -> None:
    assert re.fullmatch(r"([a-z]+/)?[a-z]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", PULLED[name]["image"])


@pytest.mark.parametrize("name", LASTING)
def test_services_tell_whether_they_are_healthy(name: str) -> None:
    assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])


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
    assert all(int(SERVICES[n]["stop_grace_period"].rstrip("s")) > most_s for n in ("worker", "scheduler", "api"))


def test_the_database_url_leads_to_the_database_service() -> None:
    database = SERVICES["postgres"]["environment"]
    url = SERVICES["syncline"]["environment"]["DATABASE_URL"]
    assert url.startswith(f"postgresql://{database['POSTGRES_USER']}:")
    assert url.endswith(f"@postgres:5432/{database['POSTGRES_DB']}")


@pytest.mark.parametrize("name", ["api", "worker", "scheduler"])
def test_the_broker_url_leads_to_the_broker_service(name: str) -> None:
    broker = SERVICES["rabbitmq"]["environment"]
    url = urlsplit(re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", SERVICES[name]["environment"]["BROKER_URL"]))
    assert (url.scheme, url.hostname, url.username) == ("amqp", "rabbitmq", broker["RABBITMQ_DEFAULT_USER"])
    assert url.password == "RABBITMQ_PASSWORD"
    assert broker["RABBITMQ_DEFAULT_PASS"].startswith(f"${{{url.password}:?")
    assert [p.rsplit(":", 1)[-1] for p in SERVICES["rabbitmq"]["ports"]] == [str(url.port)]
    assert SERVICES[name]["depends_on"]["rabbitmq"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_workers_tell_that_they_live_where_they_show_their_metrics(name: str) -> None:
    port = SERVICES[name]["environment"]["SYNCLINE_METRICS_PORT"]
    assert f"'http://127.0.0.1:{port}/metrics'" in SERVICES[name]["healthcheck"]["test"][-1]


def test_everything_that_was_promised_runs() -> None:
    """PostgreSQL, RabbitMQ, Redis, api, worker, scheduler, Prometheus, Grafana."""
    names = {"postgres", "rabbitmq", "redis", "api", "worker", "scheduler", "prometheus", "grafana"}
    assert set(LASTING) == names
    assert {name: SERVICES[name]["command"] for name in ("api", "worker", "scheduler")} == {
        name: [name] for name in ("api", "worker", "scheduler")
    }


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
    assert {source for source, _, _ in MOUNTS if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_every_file_that_is_mounted_exists_and_cannot_be_written() -> None:
    files = [(source, options) for source, _, options in MOUNTS if source.startswith("./")]
    assert len(files) == 4
    assert all((ROOT / source).exists() and options == "ro" for source, options in files)


def test_every_secret_is_declared_and_comes_from_the_environment() -> None:
    used = {secret for s in SERVICES.values() for secret in s.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    assert all(set(secret) == {"environment"} for secret in COMPOSE["secrets"].values())


# ---------------------------------------------------------------- what watches it


def test_the_api_tells_that_it_lives_where_it_is_published() -> None:
    api = SERVICES["api"]
    port = api["environment"]["SYNCLINE_API_PORT"]
    (published,) = api["ports"]
    assert published == f"127.0.0.1:{port}:{port}"
    assert f"http://127.0.0.1:{port}/health/live" in api["healthcheck"]["test"][-1]
    assert "/health/live" in describe()["paths"]


def test_prometheus_scrapes_every_service_where_it_shows_its_metrics() -> None:
    scraped = {}
    for job in PROMETHEUS["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        (service,) = found["names"]
        scraped[service] = found["port"]
    ports = {name: SERVICES[name]["environment"]["SYNCLINE_METRICS_PORT"] for name in ("worker", "scheduler")}
    assert scraped == ports | {"api": SERVICES["api"]["environment"]["SYNCLINE_API_PORT"]}


def test_prometheus_reads_files_that_are_there() -> None:
    targets = [target for _, target, _ in MOUNTS]
    assert set(PROMETHEUS["rule_files"]) <= set(targets)
    files = [job["authorization"]["credentials_file"] for job in PROMETHEUS["scrape_configs"] if "authorization" in job]
    assert files == [f"/run/secrets/{secret}" for secret in SERVICES["prometheus"]["secrets"]]
    (job,) = (job for job in PROMETHEUS["scrape_configs"] if "authorization" in job)
    assert job["metrics_path"] in describe()["paths"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    used = {t["datasource"]["uid"] for panel in DASHBOARD["panels"] for t in panel["targets"]}
    used |= {v["datasource"]["uid"] for v in DASHBOARD["templating"]["list"]}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/syncline.yml").read_text())["providers"]
    assert provider["options"]["path"] in [target for _, target, _ in MOUNTS]


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_that_is_asked_for_is_shown_with_its_labels(where: str) -> None:
    expression = EXPRESSIONS[where]
    named = re.findall(r"\b(?:syncline_\w+|up)\b", expression)
    assert named
    assert set(named) <= SHOWN.keys()
    labels = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    labels |= set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression))
    assert labels <= {label for name in named for label in SHOWN[name]}


def test_alerts_say_what_is_wrong_in_a_sentence() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        known = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        assert told <= known | ({"job", "instance"} if "by (" not in rule["expr"] else set())


def test_the_image_is_pinned_and_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert re.match(r"FROM python:\d+\.\d+-slim-\w+$", next(line for line in lines if line.startswith("FROM")))
    assert "USER syncline" in lines
    assert any("--require-hashes" in line for line in lines)
