"""How a sender of any kind may prove itself to a generic endpoint: the settings of each way, and what it checks."""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connectors.kit.contract import Setting
from webhooks.inbound.contract import Incoming, Secrets
from webhooks.inbound.schemes import checks
from webhooks.inbound.schemes.publickeys import PUBLIC_KEY, Algorithm, public_keys, signed_by

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"), AfterValidator(str.lower)]
Encoding = Literal["hex", "base64", "base64url"]

SECRET = Setting("secret", "Secret", "For an HMAC: the text that both sides know.", secret=True, required=False)
USERNAME = Setting("username", "User name", "For HTTP Basic.", secret=True, required=False)
PASSWORD = Setting("password", "Password", "For HTTP Basic.", secret=True, required=False)
API_KEY = Setting("api_key", "API key", "For a key in a header.", secret=True, required=False)
KEY = Setting(PUBLIC_KEY, "Public key", "For a signature: PEM, or the base64 text within. No secret.", required=False)


class Proof(BaseModel, ABC):
    """One way to prove who sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    needs: ClassVar[tuple[Setting, ...]]

    @abstractmethod
    def check(self, request: Incoming, secrets: Secrets, now: datetime) -> datetime | None:
        """When it was sent, where that was proved, too. Raises Refused."""


class Signature(Proof):
    """What HMACs and public keys share: a header with ``prefix`` and the signature, and perhaps one with the time.

    With ``timestamp_header`` the signed text is the time, ``separator`` and the body; without it the body alone, and nothing
    tells a delivery that is sent again later: then only its identity does.
    """

    header: HeaderName
    prefix: Annotated[str, Field(max_length=40)] = ""
    encoding: Encoding = "hex"
    timestamp_header: HeaderName | None = None
    timestamp_unit: checks.Unit = "s"
    separator: Annotated[str, Field(max_length=4)] = "."
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = checks.TOLERANCE_S

    def _signed(self, request: Incoming, now: datetime) -> tuple[bytes, datetime | None]:
        if self.timestamp_header is None:
            return request.body, None
        written = checks.needed_header(request, self.timestamp_header)
        sent = checks.fresh(written, now, unit=self.timestamp_unit, past_s=self.tolerance_s)
        return b"".join((written.encode(), self.separator.encode(), request.body)), sent

    def _given(self, request: Incoming) -> str:
        given = checks.needed_header(request, self.header)
        if not given.startswith(self.prefix):
            raise checks.wrong_signature()
        return given.removeprefix(self.prefix)


class Hmac(Signature):
    """A keyed digest. SHA-1 is for senders that know nothing else; as an HMAC it is not broken."""

    kind: Literal["hmac"] = "hmac"
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    needs: ClassVar[tuple[Setting, ...]] = (SECRET,)

    def check(self, request: Incoming, secrets: Secrets, now: datetime) -> datetime | None:
        known = checks.generations(secrets, SECRET.name)
        given = self._given(request)
        signed, sent = self._signed(request, now)
        written = [_encoded(checks.mac(self.algorithm, secret.encode(), signed), self.encoding) for (secret,) in known]
        if self.encoding == "hex":
            given = given.lower()
        if not checks.same(given.encode(), written):
            raise checks.wrong_signature()
        return sent


class PublicKeySignature(Signature):
    """A signature that everyone can verify and only the sender can make."""

    kind: Literal["public_key"] = "public_key"
    algorithm: Algorithm = "ed25519"
    encoding: Encoding = "base64"
    needs: ClassVar[tuple[Setting, ...]] = (KEY,)

    def check(self, request: Incoming, secrets: Secrets, now: datetime) -> datetime | None:
        keys = public_keys(secrets)
        raw = _decoded(self._given(request), self.encoding)
        signed, sent = self._signed(request, now)
        if raw is None or not signed_by(keys, self.algorithm, raw, signed):
            raise checks.wrong_signature()
        return sent


class Basic(Proof):
    """HTTP Basic."""

    kind: Literal["basic"] = "basic"
    needs: ClassVar[tuple[Setting, ...]] = (USERNAME, PASSWORD)

    def check(self, request: Incoming, secrets: Secrets, now: datetime) -> datetime | None:
        del now
        checks.basic(request, secrets)
        return None


class ApiKey(Proof):
    """A key in a header, behind ``prefix`` (such as ``Bearer`` and a blank)."""

    kind: Literal["api_key"] = "api_key"
    header: HeaderName = "x-api-key"
    prefix: Annotated[str, Field(max_length=40)] = ""
    needs: ClassVar[tuple[Setting, ...]] = (API_KEY,)

    def check(self, request: Incoming, secrets: Secrets, now: datetime) -> datetime | None:
        del now
        known = [f"{self.prefix}{key}".encode() for (key,) in checks.generations(secrets, API_KEY.name)]
        # Headers are read as Latin-1, so that this gives back the bytes that came.
        if not checks.same(checks.needed_header(request, self.header).encode("latin-1", "replace"), known):
            raise checks.wrong_credentials()
        return None


AnyProof = Annotated[Hmac | PublicKeySignature | Basic | ApiKey, Field(discriminator="kind")]


def _encoded(raw: bytes, encoding: Encoding) -> bytes:
    if encoding == "hex":
        return checks.hex_text(raw)
    return base64.b64encode(raw) if encoding == "base64" else base64.urlsafe_b64encode(raw)


def _decoded(given: str, encoding: Encoding) -> bytes | None:
    """The bytes that exactly this text stands for; None where it is not the one way to write them."""
    try:
        if encoding == "hex":
            raw = binascii.unhexlify(given)
            return raw if raw.hex() == given.lower() else None
        if encoding == "base64":
            return checks.base64_bytes(given)
        raw = base64.urlsafe_b64decode(given)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.urlsafe_b64encode(raw).decode() == given else None
