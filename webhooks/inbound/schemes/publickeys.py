"""Signatures that a public key verifies: RSA, ECDSA on any curve, Ed25519.

A key is configured as the sender publishes it: PEM, or the base64 text between PEM's two lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from webhooks.inbound.contract import Refused, Secrets
from webhooks.inbound.schemes.checks import generations

Algorithm = Literal["rsa-sha256", "ecdsa-sha256", "ed25519"]
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

PUBLIC_KEY: Final = "public_key"
SMALLEST_RSA_BITS: Final = 2_048
SMALLEST_CURVE_BITS: Final = 256
_KINDS: Final[Mapping[str, type[PublicKey]]] = {
    "rsa-sha256": RSAPublicKey,
    "ecdsa-sha256": EllipticCurvePublicKey,
    "ed25519": Ed25519PublicKey,
}


def public_keys(secrets: Secrets) -> list[PublicKey]:
    """The keys that can be used. Raises Refused (503) when there is none: nothing stored, nothing readable, too weak."""
    keys = [key for (text,) in generations(secrets, PUBLIC_KEY) if (key := _load(text)) is not None]
    if not keys:
        raise bad_key()
    return keys


def bad_key() -> Refused:
    return Refused(
        "The key stored for this endpoint cannot be used.",
        code="webhook_bad_key",
        status=503,
        remedy="Store it again as the sender publishes it, whole; the sender tries again.",
    )


@lru_cache(maxsize=512)
def _load(text: str) -> PublicKey | None:
    body = text.strip().replace("\\n", "\n")
    pem = body if body.startswith("-----") else f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= SMALLEST_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return key if key.key_size >= SMALLEST_CURVE_BITS else None
    return key if isinstance(key, Ed25519PublicKey) else None


def signed_by(keys: Sequence[PublicKey], algorithm: Algorithm, signature: bytes, message: bytes) -> bool:
    """Did one of the keys that fit ``algorithm`` sign ``message``? RSA with PKCS #1 v1.5, ECDSA in DER."""
    fitting = [key for key in keys if isinstance(key, _KINDS[algorithm])]
    return any(_verifies(key, signature, message) for key in fitting)


def _verifies(key: PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, message, PKCS1v15(), SHA256())
        elif isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, message, ECDSA(SHA256()))
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
