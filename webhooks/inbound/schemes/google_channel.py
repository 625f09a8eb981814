"""Google's notification channels (Calendar): everything is in headers, there is no body and no signature.

https://developers.google.com/workspace/calendar/api/guides/push

The token that was given when the channel was opened comes back with every notification and is all that proves its
origin. Google drops a notification now and then, so that channels hasten reading and never replace it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar, Final

from connectors.kit.contract import Notice, Setting, Signal
from webhooks.inbound.contract import Incoming, Item, Refused, Scheme, Secrets, Verified
from webhooks.inbound.jsonbody import unexpected
from webhooks.inbound.schemes import checks

_TOKEN: Final = "x-goog-channel-token"  # noqa: S105
_CHANNEL: Final = "x-goog-channel-id"
_NUMBER: Final = "x-goog-message-number"
_STATE: Final = "x-goog-resource-state"
_RESOURCE: Final = "x-goog-resource-uri"
_KEPT: Final = (_CHANNEL, _NUMBER, _STATE, _RESOURCE)
_WHAT: Final[Mapping[str, re.Pattern[str]]] = {
    _CHANNEL: re.compile(r"[!-~]{1,64}", re.ASCII),
    _NUMBER: re.compile(r"[0-9]{1,20}", re.ASCII),
    _STATE: re.compile(r"[a-z_]{1,32}", re.ASCII),
}


class GoogleChannel(Scheme):
    """One endpoint may serve any number of channels that were opened with its token."""

    name: ClassVar[str] = "google_channel"
    label: ClassVar[str] = "Google channels (Calendar)"
    docs_url: ClassVar[str] = "https://developers.google.com/workspace/calendar/api/guides/push"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "channel_token", "Channel token", "Made by the hub; Google is given it with every channel.", secret=True
        ),
    )

    def kept_headers(self) -> tuple[str, ...]:
        return _KEPT

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        del now
        checks.only(request, self.methods)
        known = [token.encode() for (token,) in checks.generations(secrets, "channel_token")]
        if not checks.same(checks.needed_header(request, _TOKEN).encode(), known):
            raise checks.wrong_credentials()
        for name, pattern in _WHAT.items():
            if not pattern.fullmatch(request.header(name) or ""):
                raise Refused(f"The header {name} is missing or wrong.", code="webhook_header_invalid", status=400)
        return Verified(_key(request.headers))

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del body
        if not all(headers.get(name) for name in _KEPT):
            raise unexpected("a header of the channel is missing")
        channel, key = headers[_CHANNEL], _key(headers)
        collection = headers[_RESOURCE].partition("?")[0].rstrip("/").rpartition("/")[2]
        if headers[_STATE] == "sync":
            return [Notice(collection, channel, dedupe_key=key, account=channel, signal=Signal.STARTED)]
        return [Notice(collection, "", dedupe_key=key, account=channel)]


def _key(headers: Mapping[str, str]) -> str:
    return checks.key_of(headers[_CHANNEL], headers[_NUMBER])
