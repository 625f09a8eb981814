"""A certificate authority for tests, and servers' certificates of it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
_DAY = timedelta(days=1)


@dataclass
class Authority:
    """An authority that nobody but a test trusts."""

    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: x509.Name = field(default_factory=lambda: _name("Authority of a test"))

    def trusted(self) -> ssl.SSLContext:
        """What a client checks with that trusts this authority alone."""
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        own = _builder(self.name, self.name, self.key).add_extension(constraints, critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        signed = own.add_extension(usage, critical=True).sign(self.key, hashes.SHA256())
        return ssl.create_default_context(cadata=signed.public_bytes(Encoding.PEM).decode())

    def server(self, folder: Path, host: str, *, expired: bool = False) -> ssl.SSLContext:
        """What a server shows that is called ``host``."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        built = _builder(_name(host), self.name, key, -_DAY if expired else _DAY).add_extension(names, critical=False)
        signed = built.sign(self.key, hashes.SHA256())
        path = folder / f"{host}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(signed.public_bytes(Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, lasts: timedelta = _DAY) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + lasts)
    )
