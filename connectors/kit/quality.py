"""What a connector claims about itself: its ``quality.toml``, read, checked for form, and held to what can be seen.

::

    [rules]
    readme = "done"
    webhooks = { status = "exempt", reason = "The vendor has none." }
    bulk = "todo"

Every rule of RULES is claimed: *done*, *todo*, or *exempt* with a reason.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from connectors.kit.contract import AuthKind, Connector, Manifest
from connectors.kit.registry import CAPABILITIES, capabilities
from domain.errors import ConfigurationError

RULES: Mapping[str, str] = MappingProxyType({
    "readme": "README.md says how to connect, which rights are needed, which objects there are, and what does not work.",
    "conformance": "The connector inherits the conformance suite and passes both halves.",
    "fixtures": "Tests start from real payloads beside them, one file a condition, each with its origin noted.",
    "stand-in": "The sandbox has a stand-in of the vendor, and the tests talk to it.",
    "vendor-check": "Requests are checked against what the vendor itself publishes (specification, SDK, discovery document).",
    "describe": "Custom objects and fields, picklists and references are described as the account has them.",
    "resume": "Reading goes on after any page, also when the vendor has forgotten its own page token.",
    "incremental": "A later read lists only what changed, with the overlap that the vendor's clock and index need.",
    "deletions": "What was deleted at the vendor is reported.",
    "bulk": "Large objects are read by the vendor's bulk export, chosen by size.",
    "count": "The vendor's own record counts are told (SupportsCount).",
    "upsert": "Records are created and updated without ever being doubled (SupportsUpsert).",
    "delete": "Records are deleted (SupportsDelete).",
    "files": "File contents are read and written (SupportsFiles).",
    "webhooks": "The vendor's notices are verified and understood (SupportsWebhooks).",
    "mapping": "Mapping specs are shipped for the objects that lead to canonical entities.",
    "hosts": "The manifest lists the hosts that credentials may go to; a foreign next link is refused, by test.",
    "secrets": "Secret settings are marked as such; nothing secret appears in an error or log, by test.",
    "reauth": "Wrong, expired and revoked credentials end in ReauthRequiredError, by test.",
    "errors": "The vendor's error codes lead to the error that says what happens next, by a table.",
    "rate-limits": "The manifest states the vendor's rate limits, and its wish to slow down is honoured.",
    "quota": "The daily quota is read from the vendor's replies and only the connection's share of it is used.",
    "api-cost": "Listing N records costs the theoretical minimum of calls plus 2 %, by test.",
})  # fmt: skip


class Claim(BaseModel):
    """What is claimed about one rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["done", "todo", "exempt"]
    reason: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"status": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exempt_says_why(self) -> Claim:
        if self.status == "exempt" and len(self.reason.strip()) < 10:
            raise ValueError("an exemption needs a reason")
        return self


class Quality(BaseModel):
    """All claims of one connector, by rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: dict[str, Claim]

    @model_validator(mode="after")
    def _every_rule(self) -> Quality:
        unknown, missing = sorted(set(self.rules) - set(RULES)), sorted(set(RULES) - set(self.rules))
        if unknown:
            raise ValueError(f"there is no rule {', '.join(unknown)}")
        if missing:
            raise ValueError(f"nothing is said about {', '.join(missing)}")
        return self

    @classmethod
    def load(cls, path: Path) -> Quality:
        """Read ``path``. Raises ConfigurationError naming the file and each rule that is wrong."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8")))
        except OSError:
            problem = "it cannot be read"
        except tomllib.TOMLDecodeError as exc:
            problem = str(exc)
        except ValidationError as exc:
            problem = "; ".join(_sentence(error) for error in exc.errors())
        where = f"{path.parent.name}/{path.name}"
        raise ConfigurationError(f"{where} is not valid: {problem}.", remedy="See RULES in connectors/kit/quality.py.")

    def having(self, status: str) -> list[str]:
        """The rules with ``status``."""
        return [name for name, claim in self.rules.items() if claim.status == status]


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where to look: the connector's class, and the root of the source tree that holds it."""

    connector: type[Connector]
    root: Path

    @property
    def manifest(self) -> Manifest:
        return self.connector.manifest

    @property
    def tests(self) -> Path:
        return self.root / "tests" / "connectors" / self.manifest.name

    def mentions(self, word: str) -> bool:
        """Whether a test of the connector contains ``word``."""
        return any(word in path.read_text("utf-8") for path in self.tests.glob("**/*.py"))


def _has_files(folder: Path, pattern: str) -> bool:
    return any(path.is_file() for path in folder.glob(pattern))


_PROOFS: Mapping[str, tuple[Callable[[Evidence], bool], str]] = {
    "readme": (
        lambda e: len(_text(e.root / "connectors" / e.manifest.name / "README.md")) > 300,
        "README.md is missing or says next to nothing",
    ),
    "conformance": (
        lambda e: e.mentions("(ConnectorConformance)"),
        "no test inherits ConnectorConformance",
    ),
    "fixtures": (lambda e: _has_files(e.tests, "fixtures/**/*"), "there are no fixtures beside its tests"),
    "stand-in": (
        lambda e: _has_files(e.root / "sandbox" / e.manifest.name, "*.py"),
        "the sandbox has no folder of its name",
    ),
    "mapping": (
        lambda e: _has_files(e.root / "mappings" / "specs" / e.manifest.name, "*.toml"),
        "mappings/specs has nothing of its name",
    ),
    "hosts": (lambda e: bool(e.manifest.hosts), "the manifest lists no hosts"),
    "rate-limits": (lambda e: bool(e.manifest.rate_limits), "the manifest states no rate limits"),
    "reauth": (
        lambda e: any(m.kind is not AuthKind.NONE for m in e.manifest.auth),
        "the connector does not sign in at all",
    ),
}


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def untruths(quality: Quality, evidence: Evidence) -> list[str]:
    """Claims that what can be seen contradicts, one sentence each."""
    implemented = capabilities(evidence.connector)
    found = []
    for rule, claim in quality.rules.items():
        if rule in CAPABILITIES and claim.status == "done" and rule not in implemented:
            found.append(f"{rule} is claimed done, and the class lacks {', '.join(CAPABILITIES[rule])}")
        elif rule in CAPABILITIES and claim.status == "exempt" and rule in implemented:
            found.append(f"{rule} is claimed exempt, and the class implements it")
        elif rule in _PROOFS and claim.status == "done" and not _PROOFS[rule][0](evidence):
            found.append(f"{rule} is claimed done, and {_PROOFS[rule][1]}")
    return found
