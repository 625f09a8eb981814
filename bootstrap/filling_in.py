"""What a vendor's manifest asks for, filled in from what a person gave: the same for the command line and the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.kit.contract import AuthMethod, Manifest, Setting

BROWSER = "oauth2_code"
"""The way to sign in that needs a person with a browser."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was filled in: ``settings`` are stored in the clear, ``credentials`` encrypted. Never printed."""

    settings: Mapping[str, str]
    credentials: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Answers({', '.join([*self.settings, *self.credentials])})"


Given = Mapping[str, str]
Ask = Callable[["Setting"], str]
Where = Callable[["Setting"], str]


def _in_the_request(setting: Setting) -> str:
    return f"Give {setting.name} among the {'credentials' if setting.secret else 'settings'}."


def all_settings(manifest: Manifest) -> list[Setting]:
    """Settings of the connector and of every way to sign in, without repetition."""
    everything = [*manifest.settings, *(s for method in manifest.auth for s in method.settings)]
    return list({s.name: s for s in everything}.values())


def choose_method(manifest: Manifest, given: Given, auth: str | None) -> AuthMethod:
    """The way to sign in: the one asked for, else the first one that ``given`` fills, else the first that it fits best.

    One that needs a browser is taken only when it is asked for, or the only one: a script would wait for nobody.
    """
    if auth is not None:
        for method in manifest.auth:
            if method.kind.value == auth:
                return method
        kinds = ", ".join(m.kind.value for m in manifest.auth)
        raise ConfigurationError(
            f"{manifest.label} has no way to sign in called {auth}.", remedy=f"There are: {kinds}."
        )
    quiet = [m for m in manifest.auth if m.kind.value != BROWSER] or manifest.auth
    complete = [m for m in quiet if all(s.name in given or s.default is not None for s in m.settings if s.required)]
    return max(complete or quiet, key=lambda m: sum(s.name in given for s in m.settings))


def fill_in(
    manifest: Manifest, given: Given, *, auth: str | None, ask: Ask | None = None, where: Where = _in_the_request
) -> Answers:
    """Every setting from ``given``, by asking, or by default. Raises ConfigurationError naming what is missing or unknown.

    ``where`` says how a setting that is missing is given.
    """
    method = choose_method(manifest, given, auth)
    _refuse_unknown(manifest, given)
    settings = {s.name: _value(s, given, ask, where) for s in manifest.settings}
    credentials = {s.name: _value(s, given, ask, where) for s in method.settings if s.name not in settings}
    secret = {s.name for s in manifest.settings if s.secret}
    return Answers(
        {n: v for n, v in settings.items() if v is not None and n not in secret},
        {
            "auth": method.kind.value,
            **{n: v for n, v in settings.items() if v is not None and n in secret},
            **{n: v for n, v in credentials.items() if v is not None},
        },
    )


def _refuse_unknown(manifest: Manifest, given: Given) -> None:
    known = [s.name for s in all_settings(manifest)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigurationError(
            f"{manifest.label} has no setting called {', '.join(unknown)}.",
            remedy=f"There are: {', '.join(known) or 'none'}.",
        )


def _value(setting: Setting, given: Given, ask: Ask | None, where: Where) -> str | None:
    value = given.get(setting.name)
    if value is None and setting.required and setting.default is None and ask is not None:
        value = ask(setting)
    if value is None:
        value = setting.default
    if value is None and setting.required:
        raise ConfigurationError(f"{setting.label} is missing.", remedy=where(setting), code="missing_setting")
    if value is not None and setting.choices and value not in setting.choices:
        raise ConfigurationError(f"{setting.label} must be one of {', '.join(setting.choices)}.")
    return value
