"""What a person or a deployment sets, from environment variables. `docs/reference/settings.md` is made from these fields."""

from __future__ import annotations

import ipaddress
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import ConfigurationError

DEFAULT_TENANT = UUID("00000000-0000-7000-8000-000000000001")
"""The tenant of an installation that serves one company."""

BODY_BYTES_MOST = 8_388_608
"""No webhook may be set to be larger."""

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
    jobs_at_once: int = Field(
        default=2,
        ge=1,
        le=32,
        description="How many long jobs (migrations, replays, exports) a worker runs beside its lanes. Default: 2.",
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
    healthy_within_s: float | None = Field(
        default=None,
        gt=0,
        description="How long ago a stream may have been compared with its vendor before its connection is told as unhealthy, in "
        "seconds. Default: twice SYNCLINE_COMPARE_EVERY_S.",
    )
    letters_kept_days: int = Field(
        default=90, ge=1, description="How long dead letters are kept after they were settled. Default: 90 days."
    )
    runs_kept_days: int = Field(
        default=30, ge=1, description="How long it is kept how passes over streams went, in days. Default: 30."
    )
    body_bytes_max: int = Field(
        default=1_048_576,
        ge=1_024,
        description="The largest body that the API takes, in bytes. Default: 1048576, 1 MiB.",
    )
    calls_per_minute: int = Field(
        default=1_200, ge=1, description="How many calls a minute a key or person may make for long. Default: 1200."
    )
    calls_at_once: int = Field(
        default=200, ge=1, description="How many calls a key or person may make in one go after a pause. Default: 200."
    )
    failures_per_minute: int = Field(
        default=60,
        ge=1,
        description="How many calls a minute without a valid key or token an address may make; then it is refused for a while. "
        "Default: 60.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Proxies in front of the API, as addresses or networks (`10.0.0.5,10.1.0.0/16`): of them alone it is "
        "believed who called (`X-Forwarded-For`). Default: none.",
    )
    cors_origins: str = Field(
        default="",
        description="Web origins whose pages may call the API from a browser, as `https://app.example.com`, separated by "
        "commas. Default: none.",
    )
    oidc_issuers: str = Field(
        default="",
        description="Who may sign people in with OpenID Connect: `issuer=keys`, separated by commas; `keys` is the https "
        "address of the issuer's JWK set (its `jwks_uri`), or a file. Default: nobody.",
    )
    oidc_audience: str = Field(default="", description="The audience that tokens must be made for, such as `syncline`.")
    oidc_algorithms: str = Field(
        default="RS256", description="Signatures that tokens may have: RS256, ES256 or both. Default: RS256."
    )
    changes_kept_days: int = Field(
        default=90,
        ge=1,
        description="How long the change log is kept, in days: as far back a cursor of the change feed may lie. Default: 90.",
    )
    webhook_allow: str = Field(
        default="",
        description="Addresses that outgoing webhooks may be sent to although they are not public, separated by commas: host "
        "names (`hooks.internal`) and networks (`10.1.0.0/16`). Plain http is allowed there, too. Default: none.",
    )
    webhook_threads: int = Field(
        default=16,
        ge=1,
        le=256,
        description="How many webhook deliveries a worker makes at the same time. Default: 16.",
    )
    webhook_kept_days: int = Field(
        default=30,
        ge=4,
        description="How long events and deliveries are kept, in days, those for a disabled endpoint included. Default: 30.",
    )
    webhook_disable_after_days: int = Field(
        default=5,
        ge=1,
        description="After how many days in which nothing got through a webhook subscription is disabled. Default: 5.",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="Address under which vendors and people reach the API, without what follows the host (or a proxy's path). "
        "Addresses of webhooks begin with it, and some signatures cover it. Default: `http://127.0.0.1:8080`.",
    )
    api_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address that the API listens on. Default: 127.0.0.1, this machine alone.",
    )
    api_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Port that the API listens on; 0 takes any that is free. Default: 8080.",
    )
    api_workers: int = Field(
        default=1, ge=1, le=64, description="How many processes of `syncline api` share the port. Default: 1."
    )
    webhook_body_max_bytes: int = Field(
        default=1_048_576,
        ge=1_024,
        le=BODY_BYTES_MOST,
        description="The largest body of a webhook, in bytes. Default: 1048576.",
    )
    webhook_answer_within_s: float = Field(
        default=0.75,
        gt=0,
        le=8,
        description="How long a webhook waits for the database, in seconds, before it is answered with 503, so that its sender "
        "comes again. More for storage that is slow at times and senders that never come again. Default: 0.75.",
    )
    inbox_kept_days: int = Field(
        default=30,
        ge=1,
        description="How long webhooks are kept after they were processed, and recognised when sent again. "
        "Default: 30 days.",
    )
    upload_max_mb: int = Field(
        default=4096,
        ge=1,
        description="The largest file that the API takes for a migration, in megabytes. Default: 4096.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Token that Prometheus sends to read `/metrics` of the API, as `Authorization: Bearer …`. Default: none; then "
        "only a system administrator's key reads them.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port on which a worker or scheduler shows its metrics, on SYNCLINE_METRICS_HOST, to whoever reaches it. "
        "Default: none.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which a worker or scheduler shows its metrics. Default: 127.0.0.1."
    )
    return_origins: tuple[str, ...] = Field(
        default=(),
        description="Other sites to which a person may be sent after signing in at a vendor, as a JSON list of origins such as "
        '`["https://crm.example.com"]`. Default: none; paths of the API\'s own site are always allowed.',
    )
    oauth_apps: SecretStr | None = Field(
        default=None,
        description="Apps of yours at vendors, so that customers need none of their own, as JSON: "
        '`{"hubspot": {"client_id": "…", "client_secret": "…"}}`. Default: none.',
    )
    sandbox_addresses: bool = Field(
        default=False,
        description="Whether callers of the API may connect to a sandbox by its address (`base_url`). With it they make the "
        "hub call any address that it can reach: never set it where customers can. Default: false.",
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

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        """Nothing but addresses: a `*` would let everybody say who they are."""
        for entry in filter(None, (e.strip() for e in text.split(","))):
            ipaddress.ip_network(entry)
        return text

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @property
    def health_target(self) -> timedelta:
        """How old the last verified comparison of a stream may be."""
        return timedelta(seconds=self.healthy_within_s or 2 * self.compare_every_s)

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
