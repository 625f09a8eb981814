from __future__ import annotations

import json
import logging
import stat
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import redact as redact_module
from bootstrap.logs import configure, safe_traceback, write_bug_report
from bootstrap.redact import HIDDEN, redact, remember, remember_credentials

CANARY = "c4nary-S3cret"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact_module, "_known", OrderedDict())
    monkeypatch.setattr(redact_module, "_for_good", set())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield configure(tmp_path)
    for handler in set(root.handlers) - set(before[0]):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(before[1])
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}",
        f'{{"access_token": "{CANARY}", "instance_url": "https://x"}}',
        f"refresh_token={CANARY}&grant_type=refresh_token",
        f"password='{CANARY}'",
        f"client_secret={CANARY}",
        f"client_secret=…{CANARY}",
        f"<sessionId>{CANARY}</sessionId>",
        f"<n1:password>{CANARY}</n1:password>",
        f"could not connect to postgresql://hub:{CANARY}@db:5432/x",
        f"X-Api-Key: {CANARY}",
        f"SYNCLINE_MASTER_KEYS_SECRET={CANARY}",
        f"DETAIL:  Key (email)=({CANARY}) already exists.",
        f"[SQL: insert] [parameters: {{'a': '{CANARY}'}}]",
        "session 00D000000000001!" + CANARY.replace("-", "") + "abcdefghijkl refused",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
    ],
)
def test_credentials_are_hidden(text: str) -> None:
    hidden = redact(text)
    assert CANARY not in hidden
    assert CANARY.replace("-", "") not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize("value", ["ada.lovelace@example.com", "+44 20 7946 0958", "o'neil+crm@mail.example.co.uk"])
def test_personal_values_are_hidden(value: str) -> None:
    assert redact(f"contact {value} was refused") == f"contact {HIDDEN} was refused"


@pytest.mark.parametrize(
    "text",
    [
        "run 0192a0b0-0000-7000-8000-000000000009 finished: 20,000 created",
        "GET /services/data/v60.0/query took 0.3 s",
        "column Phone of Contact.csv, row 12",
        "https://example.com/services/data",
        "2026-01-31T10:20:30+00:00",
        "token expired",
        "Give --secret refresh_token=…, or the variable SYNCLINE_CONNECT_REFRESH_TOKEN.",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


def test_known_secrets_are_hidden_whatever_they_look_like() -> None:
    remember(["plain words here", "short", ""])
    assert redact("it said plain words here, in short") == f"it said {HIDDEN}, in short"


def test_a_secret_within_a_longer_one_hides_no_less_of_it() -> None:
    remember(["plain words", "plain words here"])
    assert redact("it said plain words here") == f"it said {HIDDEN}"


def test_only_so_many_secrets_are_known_by_heart_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact_module, "KNOWN_MOST", 3)
    remember(["broker login"], for_good=True)
    remember(["value one", "value two", "value three"])
    redact("a line with value one")  # met, so in use
    remember(["value two"])  # given once more, so in use
    remember(["value four"])
    assert list(redact_module._known) == ["value one", "value two", "value four"]
    said = redact("broker login, value one, value two, value three, value four")
    assert said == f"{HIDDEN}, {HIDDEN}, {HIDDEN}, value three, {HIDDEN}"


def test_of_credentials_only_the_secret_ones_are_hidden() -> None:
    credentials = {
        "auth": "password",
        "username": "administrator",
        "token_type": "Bearer",
        "instance_url": "https://acme.example",
    }
    secrets = {"password": "pw-value", "access_token": "tk-value", "private_key": "pk-value", "security_token": None}
    remember_credentials({**credentials, **secrets})
    text = "password of administrator: pw-value; Bearer; tk-value, pk-value at https://acme.example"
    assert redact(text) == (f"password of administrator: {HIDDEN}; Bearer; {HIDDEN}, {HIDDEN} at https://acme.example")


def test_log_lines_are_json_without_secrets(log: Path) -> None:
    try:
        raise ValueError(f"password={CANARY}")
    except ValueError:
        logging.getLogger("connectors.x").exception(
            "call with Bearer %s failed", CANARY, extra={"path": f"/x?access_token={CANARY}", "attempt": 2}
        )
    entry = json.loads(log.read_text())
    assert CANARY not in log.read_text()
    assert entry["level"] == "ERROR"
    assert entry["logger"] == "connectors.x"
    assert entry["attempt"] == 2
    assert "ValueError" in entry["traceback"]


def test_chatty_libraries_log_warnings_only(log: Path) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?q=1")
    logging.getLogger("syncline").info("hello")
    assert [json.loads(line)["message"] for line in log.read_text().splitlines()] == ["hello"]


def test_configuring_twice_writes_once(log: Path, tmp_path: Path) -> None:
    configure(tmp_path)
    logging.getLogger("syncline").info("once")
    assert len(log.read_text().splitlines()) == 1


def test_traceback_hides_quoted_values_but_keeps_names() -> None:
    try:
        raise KeyError("Grace Hopper") from ValueError("field 'last_name' is 'Hopper'")
    except KeyError as error:
        text = safe_traceback(error)
    frames = [line for line in text.splitlines() if not line.strip().startswith(("raise", "^", "~"))]
    assert not [line for line in frames if "Hopper" in line]
    assert "'last_name'" in text
    assert "test_logs.py" in text


def test_bug_report_is_for_the_owner_alone(tmp_path: Path) -> None:
    try:
        raise RuntimeError("token=" + CANARY)
    except RuntimeError as error:
        path = write_bug_report(tmp_path, error)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "RuntimeError" in path.read_text()
    assert CANARY not in path.read_text().replace('"token=" + CANARY', "")
