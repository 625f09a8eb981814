"""Salesforce's outbound messages: SOAP, at most 100 notifications each, sent again for 24 hours until acknowledged.

https://developer.salesforce.com/docs/platform/api/guide/sforce-api-om-outboundmessaging-wsdl.html

Salesforce signs nothing. A message is believed when the secret that ends the endpoint's address is right and the
organisation is the one expected; Salesforce's published addresses are for the proxy in front to admit.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final
from xml.etree.ElementTree import ParseError, TreeBuilder  # error and result; everything is parsed by defusedxml

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from pydantic import Field

from connectors.kit.contract import Notice, Setting
from domain.errors import RecordRejectedError
from webhooks.inbound.contract import PATH_TOKEN, Incoming, Item, Refused, Reply, Scheme, Secrets, Verified
from webhooks.inbound.jsonbody import MAX_DEPTH, too_deep, unexpected
from webhooks.inbound.schemes import checks

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_OUT: Final = "{http://soap.sforce.com/2005/09/outbound}"
_RECORD: Final = "{urn:sobject.enterprise.soap.sforce.com}"
_BODY: Final = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_CASE_SENSITIVE: Final = 15
"""The last three characters of an 18-character id repeat the case of the first 15."""
MAX_NOTIFICATIONS: Final = 100
_ACK: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)


class SalesforceOutbound(Scheme):
    """``organization_id``: the 15 or 18 characters under Setup, Company Information."""

    name: ClassVar[str] = "salesforce_outbound"
    label: ClassVar[str] = "Salesforce outbound messages"
    docs_url: ClassVar[str] = (
        "https://developer.salesforce.com/docs/platform/api/guide/sforce-api-om-outboundmessaging.html"
    )
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting(PATH_TOKEN, "Path token", "Made by the hub; ends the address that Salesforce is given.", secret=True),
    )
    batched: ClassVar[bool] = True

    organization_id: Annotated[str, Field(pattern=r"^00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?$", title="Organization ID")]

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        del now
        checks.only(request, self.methods)
        checks.path_token(request, secrets)
        try:
            message = _message(request.body)
            ids = sorted(_needed(notification, f"{_OUT}Id") for notification in message.findall(f"{_OUT}Notification"))
            organization = _needed(message, f"{_OUT}OrganizationId")
        except RecordRejectedError as error:
            raise checks.refusing(error) from None
        if not _same_id(organization, self.organization_id):
            raise Refused(
                "The message is of another organisation.",
                code="webhook_wrong_account",
                remedy="Compare the endpoint's organisation with the one under Setup, Company Information.",
            )
        return Verified(checks.digest(*(i.encode() for i in ids)))

    def reply(self, request: Incoming) -> Reply:
        del request
        return Reply(200, "text/xml; charset=utf-8", _ACK)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        message = _message(body)
        organization = _needed(message, f"{_OUT}OrganizationId")
        return checks.each(message.findall(f"{_OUT}Notification"), lambda found: [_notice(found, organization)])


def _notice(notification: Element, organization: str) -> Notice:
    record = notification.find(f"{_OUT}sObject")
    if record is None:
        raise unexpected("a Notification has no sObject")
    object_name = record.get(_TYPE, "").rpartition(":")[2]
    if not object_name:
        raise unexpected("an sObject has no type")
    key = checks.key_of(_needed(notification, f"{_OUT}Id"))
    return Notice(object_name, _needed(record, f"{_RECORD}Id"), dedupe_key=key, account=organization)


class _Shallow(TreeBuilder):
    """A tree of `MAX_DEPTH` levels at most: a deep one takes forty times the memory of its text, and is slow to be given back."""

    _depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise too_deep()
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def _message(body: bytes) -> Element:
    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True)
    try:
        parser.feed(body)
        envelope: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise RecordRejectedError(
            "The body is no XML, or XML with a document type, which is not read.",
            code="webhook_body_not_xml",
            remedy="Check that the endpoint has the right scheme.",
        ) from None
    message = envelope.find(f"{_BODY}/{_OUT}notifications")
    if message is None:
        raise unexpected("it holds no notifications")
    if not 0 < len(message.findall(f"{_OUT}Notification")) <= MAX_NOTIFICATIONS:
        raise unexpected(f"it does not hold 1 to {MAX_NOTIFICATIONS} notifications")
    return message


def _needed(element: Element, tag: str) -> str:
    found = (element.findtext(tag) or "").strip()
    if not found:
        raise unexpected(f"{tag.rpartition('}')[2]} is missing")
    return found


def _same_id(given: str, expected: str) -> bool:
    return hmac.compare_digest(given[:_CASE_SENSITIVE].encode(), expected[:_CASE_SENSITIVE].encode())
