"""HubSpot: what its events are about, and which of them are the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.kit.contract import Notice
from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import HUBSPOT_EVENT, NOW, SENDERS
from webhooks.inbound.schemes import scheme


def notices(*events: dict[str, Any]) -> list[Any]:
    return list(scheme("hubspot").notices(orjson.dumps(list(events)), {}))


def about(**changes: Any) -> list[tuple[str, str, bool]]:
    event = {name: value for name, value in (HUBSPOT_EVENT | changes).items() if value is not None}
    return [(found.object, found.vendor_id, found.deleted) for found in notices(event)]


def test_an_event_names_portal_record_and_moment() -> None:
    [notice] = notices(HUBSPOT_EVENT)
    assert (notice.object, notice.vendor_id, notice.account) == ("contacts", "123", "33")
    assert notice.occurred_at == datetime(2016, 5, 2, 19, 11, 47, 945_000, UTC)


@pytest.mark.parametrize(
    ("changes", "records"),
    [
        ({"subscriptionType": "contact.creation"}, [("contacts", "123", False)]),
        ({"subscriptionType": "company.deletion"}, [("companies", "123", True)]),
        ({"subscriptionType": "contact.privacyDeletion"}, [("contacts", "123", True)]),
        ({"subscriptionType": "deal.restore"}, [("deals", "123", False)]),
        ({"subscriptionType": "line_item.creation"}, [("line_items", "123", False)]),
        ({"subscriptionType": "object.propertyChange", "objectTypeId": "0-2"}, [("companies", "123", False)]),
        ({"subscriptionType": "object.deletion", "objectTypeId": "0-48"}, [("calls", "123", True)]),
        ({"subscriptionType": "object.creation", "objectTypeId": "2-3453932"}, [("2-3453932", "123", False)]),
        ({"subscriptionType": "conversation.newMessage"}, [("conversation", "123", False)]),
        (
            {
                "subscriptionType": "contact.merge",
                "primaryObjectId": 1,
                "mergedObjectIds": [2, 3],
                "newObjectId": 4,
                "objectId": 1,
            },
            [("contacts", "1", False), ("contacts", "4", False), ("contacts", "2", False), ("contacts", "3", False)],
        ),
        (
            {
                "subscriptionType": "contact.associationChange",
                "associationType": "CONTACT_TO_COMPANY",
                "fromObjectId": 1,
                "toObjectId": 2,
                "associationRemoved": True,
                "objectId": None,
            },
            [("contacts", "1", False), ("companies", "2", False)],
        ),
        (
            {
                "subscriptionType": "object.associationChange",
                "fromObjectTypeId": "0-3",
                "toObjectTypeId": "0-8",
                "fromObjectId": 1,
                "toObjectId": 2,
                "objectId": None,
            },
            [("deals", "1", False), ("line_items", "2", False)],
        ),
    ],
)
def test_events_name_their_records_as_the_connector_does(
    changes: dict[str, Any], records: list[tuple[str, str, bool]]
) -> None:
    assert about(**changes) == records


def test_an_event_sent_again_in_another_batch_is_the_same_event() -> None:
    first = notices(HUBSPOT_EVENT | {"eventId": 1}, HUBSPOT_EVENT | {"eventId": 2})
    again = notices(HUBSPOT_EVENT | {"eventId": 2, "attemptNumber": 3})
    assert again[0].dedupe_key == first[1].dedupe_key != first[0].dedupe_key


@pytest.mark.parametrize(
    "other", [{"objectId": 124}, {"portalId": 34}, {"occurredAt": 1462216307946}, {"propertyValue": "x"}]
)
def test_equal_event_ids_do_not_make_two_events_one(other: dict[str, Any]) -> None:
    assert notices(HUBSPOT_EVENT)[0].dedupe_key != notices(HUBSPOT_EVENT | other)[0].dedupe_key


def test_the_records_of_one_event_have_keys_of_their_own() -> None:
    found = notices(HUBSPOT_EVENT | {"subscriptionType": "contact.merge", "primaryObjectId": 1, "mergedObjectIds": [2]})
    assert len({notice.dedupe_key for notice in found}) == 2


def test_an_event_that_cannot_be_understood_does_not_hold_up_the_others() -> None:
    found = notices(HUBSPOT_EVENT, {"portalId": 33, "subscriptionType": "contact.creation"}, HUBSPOT_EVENT)
    assert [type(item) for item in found] == [Notice, RecordRejectedError, Notice]
    assert "objectId is missing" in str(found[1])


def test_a_hundred_events_are_read() -> None:
    assert len(notices(*({**HUBSPOT_EVENT, "eventId": n} for n in range(100)))) == 100


def test_the_time_of_a_delivery_is_the_signed_one() -> None:
    sender = SENDERS["hubspot"]
    assert sender.scheme.verify(sender.request(), [sender.secrets[0]], NOW).occurred_at == NOW
