"""A token goes to allowed hosts only: everything a hostile or careless server can write into a link is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.contract import AuthKind, AuthMethod, Connection, Manifest
from connectors.kit.hosts import HostPolicy, host_patterns
from connectors.kit.tokens import MemoryTokens
from domain.errors import ConfigurationError, ForeignHostError

SALESFORCE = HostPolicy(("login.salesforce.com", "*.salesforce.com"))
BASE = "https://acme.my.salesforce.com"

HOSTILE = {
    "lookalike suffix": "https://salesforce.com.evil.com/services",
    "lookalike prefix": "https://evilsalesforce.com/services",
    "lookalike label": "https://login-salesforce.com",
    "user info": "https://login.salesforce.com@evil.com/",
    "user info with password": "https://login.salesforce.com:443@evil.com/",
    "user info on an allowed host": "https://user:secret@login.salesforce.com/",
    "other host": "https://evil.com/",
    "apex of a wildcard": "https://salesforce.com/",
    "international name": "https://login.sälesforce.com/",
    "fullwidth dot": "https://evil\uff0ecom\u3002login.salesforce.com/",
    "cyrillic": "https://login.s\u0430lesforce.com/",
    "punycode": "https://login.xn--slesforce-v2a.com/",
    "other port": "https://login.salesforce.com:8443/",
    "port zero": "https://login.salesforce.com:0/",
    "port out of range": "https://login.salesforce.com:99999/",
    "http downgrade": "http://login.salesforce.com/",
    "http on 443": "http://login.salesforce.com:443/",
    "other scheme": "ftp://login.salesforce.com/",
    "file": "file:///etc/passwd",
    "IPv4 literal": "https://169.254.169.254/latest/meta-data",
    "decimal IPv4": "https://2852039166/",
    "hex IPv4": "https://0xa9.0xfe.0xa9.0xfe/",
    "IPv6 literal": "https://[::1]/",
    "trailing dot": "https://login.salesforce.com./",
    "scheme-relative": "//evil.com/services",
    "backslash": "https://login.salesforce.com\\@evil.com/",
    "backslash host": "\\\\evil.com/x",
    "tab in scheme": "ht\ttps://evil.com/",
    "newline": "https://evil.com/\r\nHost: login.salesforce.com",
    "blank in host": "https://evil.com login.salesforce.com/",
    "percent in host": "https://evil.com%2f.salesforce.com/",
    "null byte": "https://evil.com\x00.salesforce.com/",
    "fragment trick": "https://evil.com#@login.salesforce.com/",
    "query trick": "https://evil.com?@login.salesforce.com/",
    "no host": "https:///services",
    "bracket": "https://[login.salesforce.com]/",
    "empty label": "https://evil..salesforce.com/",
}


@pytest.mark.parametrize("address", HOSTILE.values(), ids=HOSTILE.keys())
def test_refused(address: str) -> None:
    with pytest.raises(ForeignHostError) as caught:
        SALESFORCE.resolve(address, BASE)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", HOSTILE.values(), ids=HOSTILE.keys())
def test_refused_with_a_sandbox_too(address: str) -> None:
    with pytest.raises(ForeignHostError):
        HostPolicy(SALESFORCE.patterns, "http://127.0.0.1:9911").resolve(address)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("/services/data?q=1", f"{BASE}/services/data?q=1"),
        ("https://login.salesforce.com/x", "https://login.salesforce.com/x"),
        ("https://LOGIN.Salesforce.COM/X", "https://login.salesforce.com/X"),
        ("https://login.salesforce.com:443/x", "https://login.salesforce.com/x"),
        ("https://a.b.my.salesforce.com", "https://a.b.my.salesforce.com/"),
        ("//na1.salesforce.com/x", "https://na1.salesforce.com/x"),
        ("HTTPS://login.salesforce.com/x#frag", "https://login.salesforce.com/x"),
        ("/q?$filter=a eq 1", f"{BASE}/q?$filter=a%20eq%201"),
        ("services/data", f"{BASE}/services/data"),
    ],
)
def test_accepted_and_rebuilt_from_what_was_judged(address: str, url: str) -> None:
    assert SALESFORCE.resolve(address, BASE) == url


def test_sandbox_takes_the_place_of_every_allowed_host() -> None:
    policy = HostPolicy(SALESFORCE.patterns, "http://127.0.0.1:9911")
    for address in ("https://login.salesforce.com/a?b=1", "https://127.0.0.1:9911/a?b=1", "/a?b=1"):
        assert policy.resolve(address) == "http://127.0.0.1:9911/a?b=1"


@pytest.mark.parametrize("address", ["http://127.0.0.1:9912/", "http://127.0.0.1/", "http://localhost:9911/"])
def test_sandbox_is_one_origin(address: str) -> None:
    with pytest.raises(ForeignHostError):
        HostPolicy((), "http://127.0.0.1:9911").resolve(address)


@given(st.text(max_size=60), st.sampled_from(["https://", "http://", "//", "https:/", "", "/"]))
def test_whatever_is_accepted_lies_on_an_allowed_host(rest: str, start: str) -> None:
    try:
        url = SALESFORCE.resolve(start + rest, BASE)
    except ForeignHostError:
        return
    host = url.removeprefix("https://").split("/")[0]
    assert url.startswith("https://")
    assert host.endswith(".salesforce.com")
    assert "@" not in host
    assert ":" not in host


def _connection(base_url: str | None, **settings: str) -> Connection:
    return Connection("1", "acme", settings, MemoryTokens(), base_url=base_url)


def _manifest(*hosts: str) -> Manifest:
    return Manifest("acme", "Acme", (AuthMethod(AuthKind.NONE),), hosts=hosts)


@pytest.mark.parametrize(
    "base_url",
    ["http://10.0.0.8:8080", "http://sandbox.example.com", "ftp://127.0.0.1", "http://u:p@127.0.0.1", "127.0.0.1:80"],
)
def test_a_sandbox_must_be_https_or_loopback(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HostPolicy.of(_manifest("*.acme.com"), _connection(base_url))
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:80", "https://sb.example.com"]
)
def test_sandboxes_that_will_do(base_url: str) -> None:
    assert HostPolicy.of(_manifest(), _connection(base_url)).resolve("/x") == f"{base_url}/x"


@pytest.mark.parametrize("domain", ["crm.example.org", "https://CRM.example.org/odoo", "crm.example.org:443"])
def test_the_host_of_a_self_hosted_vendor_comes_from_a_setting(domain: str) -> None:
    policy = HostPolicy.of(_manifest("{domain}"), _connection(None, domain=domain))
    assert policy.patterns == ("crm.example.org",)


@pytest.mark.parametrize("domain", ["", "localhost", "10.0.0.1", "*.com", "a b.com"])
def test_a_setting_without_a_host_name_is_refused(domain: str) -> None:
    with pytest.raises(ConfigurationError, match="domain"):
        HostPolicy.of(_manifest("{domain}"), _connection(None, domain=domain))


def test_patterns_are_judged() -> None:
    assert host_patterns(["api.acme.com", "*.acme.com", "{domain}"]) == []
    assert len(host_patterns(["*.com", "*", "ACME.com", "https://acme.com", "localhost"])) == 5
