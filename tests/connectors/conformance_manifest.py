"""First half of the conformance suite: what can be known of a connector without talking to anyone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from connectors.kit.contract import AuthKind, Connector, Manifest, Setting
from connectors.kit.hosts import host_patterns
from connectors.kit.quality import Evidence, Quality, untruths
from connectors.kit.registry import contract_problems, load

ROOT = Path(__file__).resolve().parents[2]
_SECRET_WORDS = ("password", "secret", "token", "key", "passphrase")


class ManifestConformance:
    """First half: what can be known without talking to anyone."""

    vendor: ClassVar[str]
    not_secret: ClassVar[frozenset[str]] = frozenset()
    """Settings that sound secret and are not (``consumer_key`` of a public app)."""

    @pytest.fixture
    def connector_class(self) -> type[Connector]:
        return load(self.vendor)

    @pytest.fixture
    def manifest(self, connector_class: type[Connector]) -> Manifest:
        return connector_class.manifest

    @property
    def folder(self) -> Path:
        return ROOT / "connectors" / self.vendor

    def test_fits_the_contract(self, connector_class: type[Connector]) -> None:
        assert contract_problems(connector_class, self.vendor) == []

    def test_manifest_is_complete(self, manifest: Manifest) -> None:
        assert manifest.label
        assert manifest.auth, "say AuthKind.NONE where nothing is signed in to"
        assert manifest.visibility_lag.total_seconds() >= 0
        assert manifest.cursor_overlap.total_seconds() >= 0
        assert len({o.name for o in manifest.objects}) == len(manifest.objects)
        assert all(o.page_size > 0 and o.batch_size > 0 for o in manifest.objects)
        assert all(limit.calls > 0 and limit.per_s > 0 for limit in manifest.rate_limits)

    def test_oauth_addresses_are_https(self, manifest: Manifest) -> None:
        for method in manifest.auth:
            if method.kind in (AuthKind.OAUTH2_CODE, AuthKind.OAUTH2_CLIENT, AuthKind.OAUTH2_JWT):
                assert method.token_url.startswith("https://"), method.kind
            if method.kind is AuthKind.OAUTH2_CODE:
                assert method.authorize_url.startswith("https://")

    def test_hosts_are_listed(self, manifest: Manifest) -> None:
        assert host_patterns(manifest.hosts) == []
        if any(method.kind is not AuthKind.NONE for method in manifest.auth):
            assert manifest.hosts, "without hosts no credential may be sent anywhere"

    def test_settings_are_named_once_and_secrets_are_marked(self, manifest: Manifest) -> None:
        for method in manifest.auth:
            names = [s.name for s in (*manifest.settings, *method.settings)]
            assert len(set(names)) == len(names)
        for setting in all_settings(manifest):
            sounds_secret = any(setting.name.lower().endswith(word) for word in _SECRET_WORDS)
            assert setting.secret or not sounds_secret or setting.name in self.not_secret, setting.name
            assert not (setting.secret and setting.default), f"{setting.name}: a secret has no default"
            assert setting.label

    def test_imports_no_other_vendor_and_no_storage(self) -> None:
        for path in self.folder.glob("**/*.py"):
            for module in imported_modules(path):
                assert not is_out_of_bounds(module, self.vendor), f"{path.name} imports {module}"

    def test_has_a_readme(self, manifest: Manifest) -> None:
        text = (self.folder / "README.md").read_text("utf-8")
        assert manifest.label in text
        unexplained = [s.name for s in all_settings(manifest) if s.name not in text and s.label not in text]
        assert unexplained == [], "the README explains every setting"

    def test_quality_is_honest(self, connector_class: type[Connector]) -> None:
        quality = Quality.load(self.folder / "quality.toml")
        assert untruths(quality, Evidence(connector_class, ROOT)) == []


def all_settings(manifest: Manifest) -> list[Setting]:
    return [*manifest.settings, *(s for method in manifest.auth for s in method.settings)]


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"connectors.{'.' * node.level}" if node.level > 1 else node.module or ""


def is_out_of_bounds(module: str, vendor: str) -> bool:
    top, _, rest = module.partition(".")
    if top == "connectors":
        return rest.split(".")[0] not in (vendor, "kit")
    return top in {
        "api",
        "bootstrap",
        "cli",
        "mappings",
        "migration",
        "sandbox",
        "storage",
        "sync_engine",
        "webhooks",
        "workers",
    }
