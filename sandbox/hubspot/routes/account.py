"""The account, and how much of its quota is used.

https://developers.hubspot.com/docs/guides/api/settings/account-information-api
"""

from __future__ import annotations

from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply


def register(router: Router) -> None:
    router.add("GET", "/account-info/v3/details", "account")(details)
    router.add("GET", "/account-info/v3/api-usage/daily/private-apps", "account")(usage)


def details(call: Call) -> Reply:
    return Reply(
        json={
            "portalId": call.portal.id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "US/Eastern",
            "companyCurrency": "USD",
            "additionalCurrencies": ["EUR", "GBP", "JPY", "CHF"],
            "utcOffset": "-04:00",
            "utcOffsetMilliseconds": -14_400_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
    )


def usage(call: Call) -> Reply:
    return Reply(json=call.sandbox.limits.usage())
