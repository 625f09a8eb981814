"""Signing in with a browser: the address to go to, and what the browser brings back (RFC 8252)."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootstrap.redact import remember, remember_credentials
from cli.loopback import Loopback, query_of
from cli.output import Output, duration
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from bootstrap.connecting import BrowserSignIn
    from connectors.kit.oauth import SignInPage

CALLBACK = "http://localhost:8789/callback"
"""Salesforce takes plain http only for localhost, and the address has to be registered letter by letter.
https://help.salesforce.com/s/articleView?id=sf.connected_app_create_api_integration.htm"""


@dataclass(frozen=True, slots=True)
class Browsing:
    """How the person signs in: ``opens`` a browser here, or (False) pastes the address that a browser elsewhere ended at."""

    callback: str = CALLBACK
    opens: bool = True
    timeout_s: float = 300.0


def browse(out: Output, sign_in: BrowserSignIn, how: Browsing) -> Mapping[str, Any]:
    """The credentials, with tokens, that a person's sign-in brought.

    Raises ReauthRequiredError when it was declined, ConfigurationError for an answer to another sign-in, TransientError when
    nobody answered in time.
    """
    if not how.opens:
        page = _begin(sign_in, how.callback)
        return _finish(sign_in, page, _pasted(out, sign_in.label, page.url))
    with Loopback(how.callback) as loopback:
        page = _begin(sign_in, loopback.url)
        loopback.expect(page.state, lambda: out.say("An answer to another sign-in was refused. Still waiting …"))
        _show(out, sign_in.label, page.url, opened=_open(page.url))
        out.say(f"Waiting for the browser (at most {duration(how.timeout_s)}; Ctrl-C stops) …")
        answer = loopback.wait(how.timeout_s)
    return _finish(sign_in, page, answer)


def _begin(sign_in: BrowserSignIn, callback: str) -> SignInPage:
    page = sign_in.start(callback)
    remember([page.state, page.verifier])
    return page


def _finish(sign_in: BrowserSignIn, page: SignInPage, answer: Mapping[str, str]) -> Mapping[str, Any]:
    remember([answer.get("code", "")])
    credentials = sign_in.finish(page, answer, time.time())
    remember_credentials(credentials)
    return credentials


def _open(url: str) -> bool:
    """Whether a browser with a window was opened. A browser in the terminal would take the screen from us."""
    windows = sys.platform in ("win32", "darwin") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
    return windows and webbrowser.open(url)


def _show(out: Output, label: str, url: str, *, opened: bool) -> None:
    out.say(f"Sign in to {label} in the browser" + (", which was opened at:" if opened else ". Open this address:"))
    out.status.print(f"\n{url}\n", soft_wrap=True, markup=False)  # in one piece, so that it can be clicked and copied


def _pasted(out: Output, label: str, url: str) -> Mapping[str, str]:
    _show(out, label, url, opened=False)
    out.say("The browser ends at a page that may not load. Paste its whole address here, and press Enter:")
    pasted = sys.stdin.readline().strip()
    if not pasted:
        raise ConfigurationError(
            "No address was pasted.",
            remedy="Start again, and paste the one that the browser ended at.",
            code="missing_setting",
        )
    return query_of(pasted)
