"""Metrics are the operator's: no tenant's key reads them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bootstrap.metrics import CONTENT_TYPE
from domain.access import SYSTEM_TENANT
from tests.api.conftest import As, Client


@pytest.mark.parametrize("role", ["tenant_admin", "system_admin", "support"])
def test_a_tenants_key_reads_no_metrics(as_: As, role: str) -> None:
    assert as_(role).get("/metrics").status_code == 403


def test_a_key_of_the_installation_reads_them(as_: As) -> None:
    reply = as_("system_admin", SYSTEM_TENANT).get("/metrics")
    assert (reply.status_code, reply.headers["content-type"]) == (200, CONTENT_TYPE)
    assert "syncline_scrape_ok 1.0" in reply.text


@pytest.mark.parametrize(
    ("sent", "status"), [("the-scrape-token", 200), ("the-scrape-tokem", 401), ("", 401), ("é", 401)]
)
def test_prometheus_reads_them_by_a_token(
    app_client: Client, monkeypatch: pytest.MonkeyPatch, sent: str, status: int
) -> None:
    settings = app_client.app.state.hub.settings  # type: ignore[attr-defined]
    monkeypatch.setitem(settings.__dict__, "metrics_token", SecretStr("the-scrape-token"))
    headers = {"Authorization": f"Bearer {sent}".encode()}
    assert app_client.get("/metrics", headers=headers).status_code == status


def test_requests_are_counted_by_the_template_of_their_route(as_: As) -> None:
    admin = as_("tenant_admin")
    admin.get("/v1/jobs/01a1fedc-814f-759a-8448-3d7c640fd516")
    admin.get("/v1/never/heard/of")
    shown = as_("system_admin", SYSTEM_TENANT).get("/metrics").text
    assert 'route="/v1/jobs/{job_id}",status="404"' in shown.replace('method="GET",', "")
    assert "01a1fedc" not in shown
    assert "never" not in shown
