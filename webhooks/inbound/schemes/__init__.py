"""How each kind of sender is verified: one module a scheme, all of them values that do no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from domain.errors import ConfigurationError
from webhooks.inbound.contract import Scheme
from webhooks.inbound.schemes.generic import Generic
from webhooks.inbound.schemes.gohighlevel import GoHighLevel
from webhooks.inbound.schemes.google_channel import GoogleChannel
from webhooks.inbound.schemes.google_pubsub import GooglePubSub
from webhooks.inbound.schemes.graph import Graph
from webhooks.inbound.schemes.hubspot import HubSpot
from webhooks.inbound.schemes.pipedrive import Pipedrive
from webhooks.inbound.schemes.quickbooks import QuickBooks
from webhooks.inbound.schemes.salesforce_outbound import SalesforceOutbound
from webhooks.inbound.schemes.sendgrid import SendGrid
from webhooks.inbound.schemes.slack import Slack
from webhooks.inbound.schemes.standard import StandardWebhooks
from webhooks.inbound.schemes.stripe import Stripe
from webhooks.inbound.schemes.twilio import Twilio

_ALL: Final[tuple[type[Scheme], ...]] = (
    HubSpot,
    SalesforceOutbound,
    Pipedrive,
    GoHighLevel,
    GooglePubSub,
    GoogleChannel,
    Graph,
    Twilio,
    SendGrid,
    Slack,
    QuickBooks,
    Stripe,
    StandardWebhooks,
    Generic,
)

SCHEMES: Final[Mapping[str, type[Scheme]]] = {kind.name: kind for kind in _ALL}
"""Every scheme by name, in the order in which they are offered."""


def scheme(name: str, settings: Mapping[str, Any] | None = None) -> Scheme:
    """The scheme of an endpoint. Raises ConfigurationError naming what is unknown or wrong, never its value."""
    kind = SCHEMES.get(name)
    if kind is None:
        raise ConfigurationError(
            f"There is no webhook scheme called {name!r}.",
            remedy=f"Those that there are: {', '.join(SCHEMES)}.",
            code="no_such_scheme",
        )
    try:
        return kind.model_validate(dict(settings or {}))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(
            f"The settings of the {kind.label} webhook are wrong: {wrong}.",
            remedy="Compare them with docs/reference/webhook-schemes.md.",
            code="scheme_settings",
        ) from None
