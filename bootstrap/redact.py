"""Takes credentials and personal values out of text before it is logged or written to a file."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

HIDDEN = "[redacted]"
KNOWN_MOST = 4096
"""So many values are hidden by heart. Credentials are given anew each time that somebody works with them."""
_SHORTEST_SECRET = 6

_NAMES = (
    r"[a-z0-9_:-]*(?:password|passwd|secret|token|api[_-]?key|authorization|session[_-]?id|assertion|private[_-]?key|"
    r"code_verifier)"
)

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Bearer and Basic credentials, wherever a header was printed.
    (re.compile(r"(?i)\b(bearer|basic|oauth)\s+[A-Za-z0-9._~+/=!-]{8,}"), rf"\1 {HIDDEN}"),
    # PEM blocks.
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL), HIDDEN),
    # The password of an address: scheme://user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    # name=value, "name": "value", <name>value</name>; of `name=…` in a remedy there is nothing to hide.
    (
        re.compile(rf"(?i)\b({_NAMES})(\"?'?\s*[=:]\s*)(?!…(?![^\s,;.]))(\"[^\"]*\"|'[^']*'|[^\s,;&}}\)\]]+)"),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(rf"(?i)<({_NAMES})>[^<]*<"), rf"<\1>{HIDDEN}<"),
    # Salesforce session ids and JSON web tokens have a shape of their own.
    (re.compile(r"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{20,}"), HIDDEN),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), HIDDEN),
    # What PostgreSQL quotes of a row (DETAIL: Key (email)=(...), Failing row contains (...)).
    (re.compile(r"(?im)^(\s*(?:DETAIL|CONTEXT):).*$"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)\[parameters: .*"), f"[parameters: {HIDDEN}]"),
    # Personal values: e-mail addresses, and international phone numbers.
    (re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
    (re.compile(r"(?<![\w.-])\+\d[\d ().-]{6,}\d"), HIDDEN),
)

_SECRET_NAME = re.compile(r"(?i)pass|secret|token(?!_type|_url)|key|assertion|\bpin\b|verifier|session")

_known: OrderedDict[str, None] = OrderedDict()
"""The last used last; at most `KNOWN_MOST`."""
_for_good: set[str] = set()
_lock = threading.Lock()


def remember(secrets: Iterable[str], *, for_good: bool = False) -> None:
    """Hide these exact values from now on, whatever they look like. Values shorter than six characters are ignored.

    Beyond `KNOWN_MOST`, those go first that were neither given nor met for the longest time; never one given ``for_good``.
    """
    given = [s for s in secrets if len(s) >= _SHORTEST_SECRET]
    with _lock:
        if for_good:
            _for_good.update(given)
            return
        for secret in given:
            _known[secret] = None
            _known.move_to_end(secret)
        while len(_known) > KNOWN_MOST:
            _known.popitem(last=False)


def redact(text: str) -> str:
    """The text without credentials, personal values and everything given to `remember`."""
    with _lock:
        met = [secret for secret in (*_for_good, *_known) if secret in text]
        for secret in met:
            if secret in _known:
                _known.move_to_end(secret)
    for secret in sorted(met, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def remember_credentials(credentials: Mapping[str, object]) -> None:
    """`remember` those values whose names say that they are secret: passwords, tokens, keys, secrets."""
    remember(str(value) for name, value in credentials.items() if value and _SECRET_NAME.search(name))
