"""Signing in with a browser: a test is the browser, the sandbox is Salesforce."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from bootstrap.filling_in import choose_method
from cli.loopback import Loopback, query_of
from connectors.kit import registry
from domain.errors import ConfigurationError, TransientError
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from tests.cli.conftest import Outcome, Syncline

KNOWN = Credentials()
FREE = "http://127.0.0.1:0/callback"
Browser = Callable[[str], object]


@pytest.fixture
def org() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxOptions(contacts=5)) as server:
        yield server


@pytest.fixture
def connect(syncline: Syncline, org: SandboxServer, tmp_path: Path) -> Syncline:
    """``connect("--no-browser")`` to the sandbox, with its consumer key and secret."""
    (tmp_path / "secret").write_text(KNOWN.client_secret)

    def invoke(*more: str | Path) -> Outcome:
        app = ("--set", f"client_id={KNOWN.client_id}", "--secret", f"client_secret=@{tmp_path / 'secret'}")
        return syncline("connect", "salesforce", "--base-url", org.url, *app, "--oauth", "--callback", FREE, *more)

    return invoke


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Browser], None]]:
    """``browser(does)``: whatever address is opened, ``does`` happens with it, as a person would do it elsewhere."""
    opened: list[threading.Thread] = []
    failures: list[BaseException] = []

    def install(does: Browser) -> None:
        def act(url: str) -> None:
            try:
                does(url)
            except BaseException as error:
                failures.append(error)

        def opens(url: str) -> bool:
            opened.append(threading.Thread(target=act, args=(url,)))
            opened[-1].start()
            return True

        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr("webbrowser.open", opens)

    yield install
    for thread in opened:
        thread.join(30)
    assert failures == []


def follow(url: str) -> httpx.Response:
    return httpx.get(url, follow_redirects=True)


def asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def come_back(url: str, **answer: str) -> httpx.Response:
    return httpx.get(f"{asked(url)['redirect_uri']}?{urlencode(answer)}")


def secrets_of(org: SandboxServer) -> list[str]:
    auth = org.sandbox.auth
    return [*auth.sessions, *auth.refresh_tokens, *auth.codes, KNOWN.client_secret]


# ---------------------------------------------------------------- as a user would


def test_signing_in_with_a_browser_connects_for_good(
    connect: Syncline, syncline: Syncline, org: SandboxServer, browser: Callable[[Browser], None], home: Path
) -> None:
    pages: list[httpx.Response] = []
    browser(lambda url: pages.append(follow(url)))
    made = connect("--json")
    assert made.code == 0, made.err
    assert made.json["name"] == "salesforce"
    assert "Signed in" in pages[0].text
    assert pages[0].headers["Referrer-Policy"] == "no-referrer"
    assert "http" not in pages[0].text, "no external resource"
    org.sandbox.auth.expire_all()
    assert syncline("connections", "test").code == 0, "the refresh token opens a new session"
    logged = "".join(p.read_text(errors="replace") for p in home.rglob("*.jsonl"))
    assert len(secrets_of(org)) > 2
    assert [s for s in secrets_of(org) if s in made.out + made.err + logged] == []


def test_the_request_carries_state_and_an_s256_challenge_and_never_the_verifier(
    connect: Syncline, browser: Callable[[Browser], None]
) -> None:
    urls: list[str] = []
    browser(lambda url: (urls.append(url), follow(url)))
    outcome = connect()
    query = asked(urls[0])
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert len(query["state"]) >= 32
    assert "code_verifier" not in query
    assert urls[0] in outcome.err, "in one piece, so that it can be copied"
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*/callback", query["redirect_uri"])


def test_a_foreign_answer_is_refused_and_the_right_one_still_counts(
    connect: Syncline, browser: Callable[[Browser], None]
) -> None:
    statuses: list[int] = []

    def visit(url: str) -> None:
        statuses.append(come_back(url, code="stolen", state="of another").status_code)
        statuses.append(come_back(url, code="stolen").status_code)
        statuses.append(httpx.get(asked(url)["redirect_uri"].replace("/callback", "/favicon.ico")).status_code)
        statuses.append(follow(url).status_code)

    browser(visit)
    outcome = connect()
    assert outcome.code == 0, outcome.err
    assert statuses == [400, 400, 404, 200]
    assert outcome.err.count("belongs to") + outcome.err.count("to another sign-in was refused") == 2


def test_a_refusal_is_told_in_words(connect: Syncline, syncline: Syncline, browser: Callable[[Browser], None]) -> None:
    browser(lambda url: come_back(url, error="access_denied", state=asked(url)["state"]))
    outcome = connect("--json")
    assert outcome.code == 77
    assert outcome.error["code"] == "sign_in_declined"
    assert "declined" in outcome.error["message"]
    assert outcome.error["remedy"]
    assert syncline("connections", "list", "--json").json == []


def test_nobody_comes(connect: Syncline, browser: Callable[[Browser], None]) -> None:
    browser(lambda url: None)
    outcome = connect("--wait", "1", "--json")
    assert outcome.code == 75
    assert outcome.error["code"] == "sign_in_timeout"
    assert "--no-browser" in outcome.error["remedy"]


def test_a_code_bound_to_another_verifier_is_refused(
    connect: Syncline, org: SandboxServer, browser: Callable[[Browser], None]
) -> None:
    def visit(url: str) -> None:
        other = url.replace(asked(url)["code_challenge"], "A" * 43)
        follow(other)

    browser(visit)
    outcome = connect("--json")
    assert outcome.code == 77
    assert "invalid_grant" in outcome.error["message"]


def test_an_app_that_may_not_refresh_is_refused(
    connect: Syncline, org: SandboxServer, browser: Callable[[Browser], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(org.sandbox.auth), "issue_refresh", lambda self: None)
    browser(follow)
    outcome = connect("--json")
    assert outcome.code == 78
    assert outcome.error["code"] == "no_refresh_token"


# ---------------------------------------------------------------- a browser elsewhere


class Person(io.StringIO):
    """Reads the printed address from ``err``, goes there with a browser elsewhere, and pastes where it ended."""

    def __init__(self, paste: Callable[[str], str]) -> None:
        super().__init__()
        self._paste = paste

    def readline(self, size: int | None = -1, /) -> str:
        found = re.findall(r"^(http\S+)$", sys.stderr.getvalue(), re.MULTILINE)  # type: ignore[attr-defined]
        return self._paste(found[-1]) + "\n"


def ended_at(url: str) -> str:
    return str(httpx.get(url).headers["Location"])


def test_a_browser_elsewhere_needs_no_listener(connect: Syncline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr("sys.stdin", Person(ended_at))
    assert connect("--no-browser", "--callback", "https://example.com/done").code == 0


@pytest.mark.parametrize("pasted", ["https://example.com/done", "nonsense", "http://localhost/?code=x&state=other"])
def test_a_pasted_address_of_another_sign_in_is_refused(
    connect: Syncline, monkeypatch: pytest.MonkeyPatch, pasted: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(pasted + "\n"))
    outcome = connect("--no-browser", "--json")
    assert outcome.code == 78
    assert outcome.error["code"] == "state_mismatch"


def test_pasting_nothing_is_a_sentence(connect: Syncline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    outcome = connect("--no-browser", "--json")
    assert outcome.code == 78
    assert outcome.error["message"] == "No address was pasted."


# ---------------------------------------------------------------- as a process


@pytest.mark.e2e
def test_the_whole_way_as_a_process(syncline: Syncline, org: SandboxServer) -> None:
    """No display, so the address is only printed; the person opens it on this machine."""
    syncline("db", "upgrade")
    command = [sys.executable, "-m", "cli.main", "connect", "salesforce", "--base-url", org.url, "--oauth"]
    command += [
        "--callback",
        FREE,
        "--set",
        f"client_id={KNOWN.client_id}",
        "--secret",
        "client_secret=env:SECRET_HERE",
    ]
    kept = {n: v for n, v in os.environ.items() if n not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment = {**kept, "SECRET_HERE": KNOWN.client_secret, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        url = next(line.strip() for line in process.stderr if line.startswith("http"))
        assert "Signed in" in follow(url).text
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "salesforce" in out


# ---------------------------------------------------------------- the parts


@pytest.mark.parametrize(
    "callback",
    [
        "https://localhost:1/x", "http://example.com:1/x", "http://0.0.0.0:1/x", "http://localhost/x", "http://localhost:x/",
        "http://localhost:99999/", "http://u@localhost:1/", "http://localhost:1/?a=b", "localhost:1", "",
    ],
)  # fmt: skip
def test_only_an_address_of_this_machine_is_listened_to(callback: str) -> None:
    with pytest.raises(ConfigurationError, match="callback") as raised:
        Loopback(callback)
    assert raised.value.code == "callback_unusable"


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigurationError, match="cannot be listened on") as raised:
            Loopback(f"http://localhost:{other.getsockname()[1]}/callback")
    assert "--no-browser" in raised.value.remedy


def test_nothing_counts_before_a_state_is_expected() -> None:
    with Loopback(FREE) as loopback:
        assert httpx.get(f"{loopback.url}?code=x&state=").status_code == 400
        with pytest.raises(TransientError):
            loopback.wait(0.01)


def test_the_first_of_two_values_counts() -> None:
    assert query_of("http://x/?state=mine&state=theirs&code=") == {"state": "mine", "code": ""}


def test_a_browser_is_needed_only_when_asked_for() -> None:
    manifest = registry.load("salesforce").manifest
    given = {"client_id": "x", "client_secret": "y"}
    assert choose_method(manifest, given, None).kind.value == "oauth2_client"
    assert choose_method(manifest, given, "oauth2_code").kind.value == "oauth2_code"


@pytest.mark.parametrize("more", [("--oauth",), ("--no-browser",)])
def test_contradicting_options_are_refused(syncline: Syncline, more: tuple[str, ...]) -> None:
    outcome = syncline("connect", "salesforce", "--auth", "password", *more)
    assert outcome.code == 2
    assert "oauth2_code" in outcome.err
