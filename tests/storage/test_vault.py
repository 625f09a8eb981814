"""Secrets at rest: what opens, what must not, and where keys come from."""

from __future__ import annotations

import base64
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage.vault import KEYS_FILE, KEYS_VARIABLE, MasterKeys, Vault

SECRET = "canary-secret-3f9a"
TENANT, OTHER_TENANT, CONNECTION, OTHER_CONNECTION = (new_id() for _ in range(4))


def _key(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


@pytest.fixture(autouse=True)
def _no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def vault() -> Vault:
    return Vault(MasterKeys.parse([f"new:{_key(1)}", f"old:{_key(2)}"], "a test"))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), _json))
def test_what_is_sealed_opens(credentials: dict[str, Any]) -> None:
    vault = Vault(MasterKeys.parse([f"k:{_key(7)}"], "a test"))
    assert vault.open(TENANT, CONNECTION, vault.seal(TENANT, CONNECTION, credentials)) == credentials


def test_nothing_of_it_shows(vault: Vault) -> None:
    sealed = vault.seal(TENANT, CONNECTION, {"password": SECRET})
    assert SECRET.encode() not in sealed.ciphertext + sealed.wrapped_key
    assert vault.seal(TENANT, CONNECTION, {"password": SECRET}).ciphertext != sealed.ciphertext
    keys = MasterKeys.parse([f"k:{_key(7)}"], "a test")
    assert _key(7) not in repr(keys) + repr(vault)
    assert repr(bytes([7]) * 32) not in repr(keys)


@pytest.mark.parametrize("part", ["wrapped_key", "ciphertext"])
@pytest.mark.parametrize("position", [0, 11, 12, 20, -1])
def test_an_altered_byte_is_noticed(vault: Vault, part: str, position: int) -> None:
    sealed = vault.seal(TENANT, CONNECTION, {"password": SECRET})
    altered = bytearray(getattr(sealed, part))
    altered[position] ^= 1
    changed: dict[str, Any] = {part: bytes(altered)}
    with pytest.raises(ConfigurationError, match="do not open") as caught:
        vault.open(TENANT, CONNECTION, replace(sealed, **changed))
    assert SECRET not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_a_cut_row_is_noticed(vault: Vault, length: int) -> None:
    sealed = vault.seal(TENANT, CONNECTION, {"password": SECRET})
    with pytest.raises(ConfigurationError, match="do not open"):
        vault.open(TENANT, CONNECTION, replace(sealed, ciphertext=sealed.ciphertext[:length]))


@pytest.mark.parametrize(
    ("tenant", "connection"), [(OTHER_TENANT, CONNECTION), (TENANT, OTHER_CONNECTION), (CONNECTION, TENANT)]
)
def test_a_row_copied_elsewhere_does_not_open(vault: Vault, tenant: Any, connection: Any) -> None:
    sealed = vault.seal(TENANT, CONNECTION, {"password": SECRET})
    with pytest.raises(ConfigurationError, match="do not open"):
        vault.open(tenant, connection, sealed)


def test_parts_of_two_rows_do_not_mix(vault: Vault) -> None:
    one, two = (vault.seal(TENANT, CONNECTION, {"n": n}) for n in (1, 2))
    with pytest.raises(ConfigurationError, match="do not open"):
        vault.open(TENANT, CONNECTION, replace(one, wrapped_key=two.wrapped_key))


def test_the_key_id_is_bound_too() -> None:
    same = Vault(MasterKeys.parse([f"a:{_key(1)}", f"b:{_key(1)}"], "a test"))
    sealed = same.seal(TENANT, CONNECTION, {})
    assert sealed.key_id == "a"
    with pytest.raises(ConfigurationError, match="do not open"):
        same.open(TENANT, CONNECTION, replace(sealed, key_id="b"))


def test_a_missing_or_wrong_master_key_is_told(vault: Vault) -> None:
    sealed = vault.seal(TENANT, CONNECTION, {"password": SECRET})
    without = Vault(MasterKeys.parse([f"old:{_key(2)}"], "a test"))
    with pytest.raises(ConfigurationError, match="master key new, which is not among") as caught:
        without.open(TENANT, CONNECTION, sealed)
    assert caught.value.code == "master_key_missing"
    wrong = Vault(MasterKeys.parse([f"new:{_key(3)}"], "a test"))
    with pytest.raises(ConfigurationError, match="do not open"):
        wrong.open(TENANT, CONNECTION, sealed)


def test_an_old_key_still_opens() -> None:
    before = Vault(MasterKeys.parse([f"old:{_key(2)}"], "a test")).seal(TENANT, CONNECTION, {"n": 1})
    after = Vault(MasterKeys.parse([f"new:{_key(1)}", f"old:{_key(2)}"], "a test"))
    assert after.open(TENANT, CONNECTION, before) == {"n": 1}
    assert after.current_key == "new"


# ---------------------------------------------------------------- where keys come from


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    keys = MasterKeys.load(tmp_path / "home")
    file = tmp_path / "home" / KEYS_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert MasterKeys.load(tmp_path / "home") == keys
    assert [p.name for p in file.parent.iterdir()] == [KEYS_FILE]


def _loaded(home: str) -> str:
    return MasterKeys.load(Path(home)).current


def test_processes_that_make_the_key_file_at_once_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_loaded, [str(tmp_path)] * 8, chunksize=1))) == 1


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f" b:{_key(5)} , a:{_key(6)} ")
    keys = MasterKeys.load(tmp_path)
    assert (keys.current, keys.key("a")) == ("b", bytes([6]) * 32)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match=KEYS_VARIABLE):
        MasterKeys.renew(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"canary{_key(1)}",
        f":canary{_key(1)}",
        "a:canary",
        "a:" + base64.b64encode(b"canary-but-too-short").decode(),
        f"a:{_key(1)},a:{_key(2)}",
        " , ,",
    ],
)
def test_unreadable_keys_are_refused_without_repeating_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, text)
    with pytest.raises(ConfigurationError, match="aster key") as caught:
        MasterKeys.load(tmp_path)
    for secret in ("canary", _key(1), _key(2), text):
        assert secret not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    MasterKeys.load(tmp_path)
    (tmp_path / KEYS_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        MasterKeys.load(tmp_path)


def test_a_home_that_cannot_hold_a_key_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        MasterKeys.load(tmp_path / "file" / "home")


def test_an_emptied_key_file_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    MasterKeys.load(tmp_path)
    os.truncate(tmp_path / KEYS_FILE, 0)
    with pytest.raises(ConfigurationError, match="no master key"):
        MasterKeys.load(tmp_path)


def test_renewing_keeps_the_old_keys(tmp_path: Path) -> None:
    old = MasterKeys.load(tmp_path)
    new = MasterKeys.renew(tmp_path)
    assert new == MasterKeys.load(tmp_path)
    assert new.current != old.current
    assert new.key(old.current) == old.key(old.current)
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o777 == 0o600
