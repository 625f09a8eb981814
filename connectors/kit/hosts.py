"""Which hosts may hear from a connection. Decided before a socket is opened, so that no token ever leaves for elsewhere.

An address is taken apart, judged against the allowlist and put together again from the judged parts: what is sent to is
what was judged, whatever another URL parser would have made of the original text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from connectors.kit.contract import Connection, Manifest
from domain.errors import ConfigurationError, ForeignHostError

_HOST = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PATTERN = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The allowlist of one connection.

    ``patterns``: exact names, or ``*.example.com`` for every name below example.com (not example.com itself).
    ``sandbox``: origin (``http://127.0.0.1:8080``) that stands in for the vendor. Then every allowed vendor address is
    rewritten to it and nothing is ever sent elsewhere.
    """

    patterns: tuple[str, ...]
    sandbox: str | None = None

    @classmethod
    def of(cls, manifest: Manifest, connection: Connection) -> HostPolicy:
        """The policy of ``connection``; a pattern ``{setting}`` stands for the host in that setting.

        Raises ConfigurationError for a sandbox that is not a bare origin, or that is plain http on another machine.
        """
        patterns = tuple(_filled(p, connection.settings) for p in manifest.hosts)
        return cls(patterns, _sandbox_origin(connection.base_url) if connection.base_url else None)

    def resolve(self, address: str, base: str | None = None) -> str:
        """The absolute URL to use for ``address`` (absolute, or relative to ``base``; ``/x`` starts at base's origin).

        Raises ForeignHostError for anything outside the allowlist: other hosts, other ports, plain http, user info, IP
        literals, international or otherwise odd names.
        """
        parts = _split(self._absolute(address, base))
        if self.sandbox is not None and _same_port_of_host(parts, urlsplit(self.sandbox)):
            return _rebuilt(parts, self.sandbox)
        host = _judged_host(parts)
        if not any(_matches(host, p) for p in self.patterns):
            raise foreign(host)
        return _rebuilt(parts, self.sandbox or f"https://{host}")

    def allows(self, address: str) -> bool:
        """Whether `resolve` would accept the absolute URL ``address``."""
        try:
            self.resolve(address)
        except ForeignHostError:
            return False
        return True

    def _absolute(self, address: str, base: str | None) -> str:
        if _UNSAFE.search(address):
            raise foreign("(an address with backslashes or control characters)")
        address = address.replace(" ", "%20")  # some servers leave blanks in the query of a next link
        if address.startswith("//"):
            return "https:" + address
        if _SCHEME.match(address):
            return address
        base = base or self.sandbox
        if base is None:
            raise ConfigurationError("A relative address was given, and this connection has no base address.")
        return urljoin(base, address)


def foreign(host: str) -> ForeignHostError:
    """The refusal of ``host``; only the host is named, never path, query or user info."""
    shown = ascii(host[:100])[1:-1]
    return ForeignHostError(
        f"The address points to {shown}, which is not a host of this connection; nothing was sent.",
        remedy="If the vendor really moved, add the host to the connector's manifest; otherwise treat the reply as hostile.",
        context={"host": shown},
    )


def origin_of(url: str) -> str:
    """Scheme, host and explicit port of ``url``, in lower case."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_pattern(pattern: str) -> str | None:
    """What is wrong with a manifest's host pattern, or None."""
    if re.fullmatch(r"\{\w+\}", pattern):
        return None
    if not _PATTERN.fullmatch(pattern) or (pattern.startswith("*.") and pattern.count(".") < 2):
        return f"{pattern!r} is neither a host name in lower case nor *.name.tld"
    return None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None:
        raise foreign("(an address that cannot be read)")
    if "@" in parts.netloc:
        raise foreign(f"(an address with user info, at {parts.hostname or 'no host'})")
    return parts


def _judged_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.scheme.lower() != "https":
        raise foreign(f"{host} without https")
    if parts.port not in (None, 443):
        raise foreign(f"{host} port {parts.port}")
    if not _HOST.fullmatch(host):
        raise foreign(host or "(no host)")
    return host


def _same_port_of_host(parts: SplitResult, sandbox: SplitResult) -> bool:
    """SDKs hard-code https, so the scheme is not compared: the sandbox's own is used."""
    if parts.scheme.lower() not in _DEFAULT_PORTS or parts.hostname != sandbox.hostname:
        return False
    return (parts.port or _DEFAULT_PORTS[parts.scheme.lower()]) == (sandbox.port or _DEFAULT_PORTS[sandbox.scheme])


def _rebuilt(parts: SplitResult, origin: str) -> str:
    base = urlsplit(origin)
    return urlunsplit((base.scheme, base.netloc, parts.path or "/", parts.query, ""))


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _filled(pattern: str, settings: Mapping[str, str]) -> str:
    if not pattern.startswith("{"):
        return pattern
    name = pattern.strip("{}")
    value = settings.get(name, "").strip().lower()
    host = urlsplit(value if "://" in value else f"https://{value}").hostname or ""
    if not _HOST.fullmatch(host) or "." not in host or _is_ip(host):
        raise ConfigurationError(
            f"The setting {name} does not hold a host name.", remedy="Give the name alone, for example crm.example.com."
        )
    return host


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _sandbox_origin(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or parts.path not in ("", "/"):
        raise ConfigurationError(
            "The base address of this connection is not a plain origin.", remedy="Give one like http://127.0.0.1:8080."
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(
            "The base address of this connection is plain http on another machine, where credentials could be read.",
            remedy="Use https, or a sandbox on 127.0.0.1.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def sandbox_is_local(hosts: HostPolicy) -> bool:
    """Whether traffic stays on this machine, so that no proxy may see it."""
    return hosts.sandbox is not None and is_loopback(urlsplit(hosts.sandbox).hostname or "")


def host_patterns(hosts: Sequence[str]) -> list[str]:
    """Everything wrong with a manifest's ``hosts``."""
    return [problem for problem in map(check_pattern, hosts) if problem]
