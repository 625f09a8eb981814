"""What a person or a deployment sets, from environment variables. `docs/reference/settings.md` is made from these fields."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal
from uuid import UUID

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import ConfigurationError

DEFAULT_TENANT = UUID("00000000-0000-7000-8000-000000000001")
"""The tenant of an installation that serves one company."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def default_home() -> Path:
    """Where data lives unless SYNCLINE_HOME says otherwise: the user's data directory; for root, /var/lib/syncline."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/syncline")
    return platformdirs.user_data_path("syncline", appauthor=False)


class Settings(BaseSettings):
    """Everything that may be set. Field descriptions are the documentation. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="SYNCLINE_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=default_home,
        description="Folder of the embedded database, keys, plans and logs. Default: the user's data directory "
        "(`~/.local/share/syncline` on Linux), or `/var/lib/syncline` for root.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL (15 or newer) to use instead of the embedded one, as "
        "`postgresql://user:password@host:5432/name`. A privileged login is stepped down to the application role.",
    )
    database_admin_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_ADMIN_URL",
        description="Login that owns the tables, for `syncline db upgrade`. Default: `DATABASE_URL`.",
    )
    master_keys: SecretStr | None = Field(
        default=None,
        description="Keys that encrypt stored credentials, as `id:base64,id2:base64` (32 bytes each); the first one "
        "encrypts, the others still decrypt. Default: a key file of mode 0600 in the home folder, made on first use.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        validation_alias="BROKER_URL",
        description="Broker between schedulers and workers, as `amqp://user:password@host:5672` (RabbitMQ) or "
        "`redis://:password@host:6379/0`. Default: none; `syncline up` then does everything in one process. It carries hints "
        "only: emptying it loses nothing.",
    )
    worker_threads: int = Field(
        default=4, ge=1, le=64, description="How many lanes a worker works on at the same time. Default: 4."
    )
    lanes_per_tenant: int = Field(
        default=4,
        ge=1,
        description="How many lanes of one tenant may be worked on or queued at the same time; the last place is kept "
        "for notices and changes to send. Default: 4.",
    )
    sweep_s: float = Field(
        default=2.0, gt=0, description="How often a scheduler looks for work, in seconds. Default: 2."
    )
    slice_s: float = Field(
        default=15.0,
        ge=0,
        description="After how many seconds a pass over a lane makes room for others, at the end of a page. Default: 15.",
    )
    lease_s: float = Field(
        default=120.0,
        gt=0,
        description="How long a lane stays with a worker that no longer answers, in seconds. Default: 120.",
    )
    stop_within_s: float = Field(
        default=30.0,
        gt=0,
        description="How long a worker that is told to stop may finish the batches under way, in seconds; then it gives its "
        "lanes back as they are. Default: 30.",
    )
    poll_every_s: float = Field(
        default=300.0, gt=0, description="How often a stream is polled without a notice, in seconds. Default: 300."
    )
    compare_every_s: float = Field(
        default=86400.0,
        gt=0,
        description="How often a stream is compared with its vendor in full, in seconds. Default: 86400, a day.",
    )
    letters_kept_days: int = Field(
        default=90, ge=1, description="How long dead letters are kept after they were settled. Default: 90 days."
    )
    tenant: UUID = Field(default=DEFAULT_TENANT, description="The tenant that commands work for, as a UUID.")
    log_level: LogLevel = Field(
        default="INFO",
        description="What is written to `logs/syncline.jsonl` in the home folder: DEBUG, INFO, WARNING or ERROR.",
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @property
    def embedded(self) -> bool:
        """Whether the hub starts its own PostgreSQL."""
        return self.database_url is None


def load_settings(*, home: Path | None = None, tenant: str | None = None) -> Settings:
    """Settings from the environment, with what the command line says instead. Raises ConfigurationError naming the variable."""
    given: dict[str, object] = {}
    if home is not None:
        given["home"] = home
    if tenant is not None:
        given["tenant"] = tenant
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise _explain(error) from None


def variable_name(field: str) -> str:
    """The environment variable of a settings field."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else "SYNCLINE_" + field.upper()


def ensure_home(home: Path) -> Path:
    """Make the home folder and prove that it can be written. Raises ConfigurationError."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o755)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"The home folder {home} cannot be written: {error.strerror}.",
            remedy="Choose another with SYNCLINE_HOME or --home, or change its permissions.",
            code="home_not_writable",
        ) from None
    return home


def _explain(error: ValidationError) -> ConfigurationError:
    """One sentence for each wrong variable, without its value: it may be a secret."""
    wrong = sorted({_variable_of(str(problem["loc"][0])) for problem in error.errors(include_input=False)})
    names = ", ".join(wrong)
    return ConfigurationError(
        f"{names} cannot be understood.",
        remedy="See docs/reference/settings.md for the form it takes.",
        code="bad_setting",
    )


def _variable_of(location: str) -> str:
    if location == "tenant" and "--tenant" in sys.argv:
        return "--tenant"
    return variable_name(location) if location in Settings.model_fields else location
