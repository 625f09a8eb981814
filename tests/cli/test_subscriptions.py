"""`syncline webhooks subscriptions`: an endpoint from its beginning to its end, over a real one on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.cli.conftest import Syncline

GROUP = ("webhooks", "subscriptions")


@pytest.fixture
def received() -> list[tuple[dict[str, str], str]]:
    return []


@pytest.fixture
def url(received: list[tuple[dict[str, str], str]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/in"
        server.shutdown()
        thread.join()


def test_an_endpoint_is_added_tried_and_removed(
    syncline: Syncline, url: str, received: list[tuple[dict[str, str], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCLINE_WEBHOOK_ALLOW", "127.0.0.1")
    made = syncline(*GROUP, "add", url, "--event", "contact.*", "--json").json
    listener = made["subscription"]["id"]
    tried = syncline(*GROUP, "test", listener)
    assert (tried.code, "delivered: 204" in tried.out) == (0, True)
    headers, body = received[0]
    assert Webhook(made["secret"]).verify(body, headers)["type"] == "webhook.test"
    event = json.loads(body)["id"]
    assert "204" in syncline(*GROUP, "deliveries", listener, "--event", event).out
    assert syncline(*GROUP, "replay", listener, "--event", event, "--json").json == {"deliveries": 1}
    assert syncline(*GROUP, "disable", listener, "--json").json["status"] == "disabled"
    assert syncline(*GROUP, "test", listener).code == 3
    assert syncline(*GROUP, "remove", listener, "--yes").code == 0
    assert "Nobody listens" in syncline(*GROUP, "list").out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add", "https://127.0.0.1/"), "address_refused"),
        (("add", "http://hooks.example.com/"), "address_refused"),
        (("add", "https://hooks.example.com/", "--event", "contact.made"), "unknown_event"),
        (("show", "01990000-0000-7000-8000-000000000009"), "no_such_subscription"),
        (("replay", "01990000-0000-7000-8000-000000000009"), "no_such_subscription"),
    ],
)
def test_what_cannot_be_is_refused_in_words(syncline: Syncline, words: tuple[str, ...], code: str) -> None:
    refused = syncline(*GROUP, *words, "--json")
    assert (refused.code, refused.error["code"]) == (78, code)
