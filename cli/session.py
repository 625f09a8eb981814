"""What every command gets: output, settings and the hub; and the options that every command takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from bootstrap.logs import configure
from bootstrap.settings import Settings, ensure_home, load_settings
from cli.output import Output
from domain.errors import SynclineError, TransientError

if TYPE_CHECKING:
    from bootstrap.wiring import Hub

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="FOLDER", help="Use this home folder instead of SYNCLINE_HOME.")
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="UUID", help="Work for this tenant instead of SYNCLINE_TENANT.")
]


@dataclass
class Session:
    """One run of the command line. The hub is built when a command first asks for it, and closed when the command ends."""

    as_json: bool = False
    home: Path | None = None
    tenant: str | None = None
    given: Settings | None = None
    _closers: list[Callable[[], None]] = field(default_factory=list)

    @cached_property
    def out(self) -> Output:
        return Output(as_json=self.as_json)

    @cached_property
    def settings(self) -> Settings:
        """Settings, with the home folder made and logging into it. Raises ConfigurationError."""
        settings = self.given or load_settings(home=self.home, tenant=self.tenant)
        ensure_home(settings.home)
        configure(settings.home, settings.log_level)
        return settings

    @property
    def tenant_id(self) -> UUID:
        return self.settings.tenant

    @cached_property
    def hub(self) -> Hub:
        from bootstrap.wiring import Hub  # heavy imports: only for commands that need the database

        hub = Hub(self.settings, say=self.out.say)
        self._closers.append(hub.close)
        return hub

    def on_close(self, closer: Callable[[], None]) -> None:
        """Have ``closer`` called when the command ends."""
        self._closers.append(closer)

    def explained(self, error: TransientError) -> SynclineError:
        """What lies behind ``error``, as far as the hub knows."""
        return self.hub.explained(error) if "hub" in self.__dict__ else error

    def close(self) -> None:
        """Release what this run opened. The embedded database stays up for the next command."""
        while self._closers:
            self._closers.pop()()


def command(
    app: typer.Typer, name: str | None = None, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function whose first parameter is a `Session` as a command with --json, --home and --tenant.

    The three may also stand before the command's name: ``syncline --json connections list``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*, ctx: typer.Context, as_json: bool, home: Path | None, tenant: str | None, **given: Any) -> None:
            above: Session = ctx.find_root().obj or Session()
            session = Session(as_json or above.as_json, home or above.home, tenant or above.tenant)
            try:
                function(session, **given)
            except TransientError as error:
                raise session.explained(error) from error
            finally:
                session.close()

        run.__signature__ = _with_common_options(function)  # type: ignore[attr-defined]
        app.command(name, **options)(run)
        return function

    return register


def _with_common_options(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("as_json", keyword, default=False, annotation=JsonOption),
        inspect.Parameter("home", keyword, default=None, annotation=HomeOption),
        inspect.Parameter("tenant", keyword, default=None, annotation=TenantOption),
        inspect.Parameter("ctx", keyword, annotation=typer.Context),
    ]
    return signature.replace(parameters=[*(p.replace(kind=keyword) for p in own), *common])
