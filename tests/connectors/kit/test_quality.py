from __future__ import annotations

from pathlib import Path

import pytest

from connectors.kit import registry
from connectors.kit.contract import AuthKind, AuthMethod, Manifest
from connectors.kit.quality import RULES, Evidence, Quality, untruths
from domain.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[3]
UNDONE = '"todo"'


def _toml(**changed: str) -> str:
    lines = [f"{rule} = {changed.get(rule, UNDONE)}" for rule in RULES]
    return "[rules]\n" + "\n".join(lines)


def _load(tmp_path: Path, text: str) -> Quality:
    path = tmp_path / "quality.toml"
    path.write_text(text)
    return Quality.load(path)


class Acme:
    manifest = Manifest("acme", "Acme", (AuthMethod(AuthKind.NONE),))

    def count(self) -> None: ...


def test_reads_both_forms(tmp_path: Path) -> None:
    exempt = '{ status = "exempt", reason = "The vendor has none." }'
    quality = _load(tmp_path, _toml(readme='"done"', webhooks=exempt))
    assert quality.having("done") == ["readme"]
    assert quality.rules["webhooks"].reason == "The vendor has none."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "rules: Field required"),
        ("[rules", "Expected"),
        (_toml(readme='"perfect"'), "rules.readme.status"),
        (_toml(readme='"exempt"'), "an exemption needs a reason"),
        (_toml(readme='{ status = "exempt", reason = "no" }'), "an exemption needs a reason"),
        (_toml() + '\nspeed = "done"', "there is no rule speed"),
        (_toml().replace("count = ", "counts = "), "there is no rule counts"),
        (_toml().replace('count = "todo"', ""), "nothing is said about count"),
        (_toml(readme='{ status = "done", note = "x" }'), "rules.readme.note"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text)
    assert problem in str(caught.value)
    assert "quality.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Quality.load(tmp_path / "quality.toml")


@pytest.mark.parametrize(
    "rule", ["readme", "conformance", "fixtures", "stand-in", "mapping", "hosts", "rate-limits", "reauth", "upsert"]
)
def test_a_claim_without_evidence_is_an_untruth(tmp_path: Path, rule: str) -> None:
    found = untruths(_load(tmp_path, _toml(**{rule: '"done"'})), Evidence(Acme, tmp_path))  # type: ignore[arg-type]
    assert [f.split(" is claimed")[0] for f in found] == [rule]


def test_an_exemption_from_what_is_implemented_is_an_untruth(tmp_path: Path) -> None:
    exempt = '{ status = "exempt", reason = "The vendor has none." }'
    quality = _load(tmp_path, _toml(count=exempt))
    assert untruths(quality, Evidence(Acme, tmp_path)) == ["count is claimed exempt, and the class implements it"]  # type: ignore[arg-type]


def test_evidence_is_believed(tmp_path: Path) -> None:
    for path in (
        "connectors/acme/README.md",
        "tests/connectors/acme/test_acme.py",
        "tests/connectors/acme/fixtures/a.json",
        "sandbox/acme/model.py",
        "mappings/specs/acme/contact.toml",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("class T(ConnectorConformance): ..." + " " * 300)
    done = dict.fromkeys(("readme", "conformance", "fixtures", "stand-in", "mapping", "count"), '"done"')
    assert untruths(_load(tmp_path, _toml(**done)), Evidence(Acme, tmp_path)) == []  # type: ignore[arg-type]


def test_every_connector_of_the_product_is_honest() -> None:
    infos = [info for info in registry.available() if info.folder is not None]
    assert [info.error for info in infos if info.error] == []
    found = {info.name: _untruths_of(info) for info in infos}
    assert found == {name: [] for name in found}


def _untruths_of(info: registry.ConnectorInfo) -> list[str]:
    assert info.folder is not None
    return untruths(Quality.load(info.folder / "quality.toml"), Evidence(registry.load(info.name), ROOT))
