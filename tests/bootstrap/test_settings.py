from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import settings as module
from bootstrap.settings import DEFAULT_TENANT, Settings, default_home, ensure_home, load_settings, variable_name
from domain.errors import ConfigurationError

VARIABLES = [variable_name(name) for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_defaults() -> None:
    settings = load_settings()
    assert settings.home == default_home()
    assert settings.tenant == DEFAULT_TENANT
    assert settings.embedded
    assert settings.log_level == "INFO"


def test_environment_sets_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@db/x")
    monkeypatch.setenv("SYNCLINE_TENANT", "0192a0b0-0000-7000-8000-000000000009")
    monkeypatch.setenv("SYNCLINE_LOG_LEVEL", "debug")
    settings = load_settings()
    assert settings.home == tmp_path
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:hunter2@db/x"
    assert not settings.embedded
    assert settings.log_level == "DEBUG"
    assert "hunter2" not in repr(settings)


def test_command_line_beats_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNCLINE_HOME", "/elsewhere")
    assert load_settings(home=tmp_path).home == tmp_path


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("SYNCLINE_TENANT", "")
    assert load_settings().embedded
    assert load_settings().tenant == DEFAULT_TENANT


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SYNCLINE_TENANT", "acme-hunter2"),
        ("SYNCLINE_LOG_LEVEL", "loud-hunter2"),
        ("SYNCLINE_TRUSTED_PROXIES", "*hunter2"),
    ],
)
def test_wrong_value_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert variable in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 78


def test_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(home=Path("data")).home == tmp_path / "data"


def test_root_keeps_its_data_in_var_lib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/syncline")


def test_users_keep_their_data_in_their_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_home().name == "syncline"


def test_home_that_cannot_be_made_is_a_plain_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"cannot be written.*SYNCLINE_HOME") as caught:
        ensure_home(tmp_path / "file" / "home")
    assert caught.value.code == "home_not_writable"


def test_home_is_made(tmp_path: Path) -> None:
    assert ensure_home(tmp_path / "a b" / "ü").is_dir()
