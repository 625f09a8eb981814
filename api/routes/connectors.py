"""The catalogue: which systems can be connected, and what each needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from api.access import Caller, allowed
from api.errors import ApiError
from connectors.kit import registry
from connectors.kit.contract import Connector, Setting

router = APIRouter(prefix="/connectors", tags=["connectors"])


class SettingOut(BaseModel):
    """One thing that a person gives to connect. ``secret``: it is stored encrypted and never shown again."""

    name: str
    label: str
    help: str
    required: bool
    secret: bool
    default: str | None
    choices: list[str]


class AuthOut(BaseModel):
    """One way to sign in."""

    kind: str
    settings: list[SettingOut]
    scopes: list[str]


class ConnectorOut(BaseModel):
    """A system that can be connected. ``capabilities``: upsert, delete, versions, files, …"""

    name: str
    label: str
    docs_url: str
    auth: list[AuthOut]
    settings: list[SettingOut]
    objects: list[str]
    capabilities: list[str]


@router.get("", operation_id="list_connectors")
def list_connectors(_caller: Annotated[Caller, allowed("connectors:read")]) -> list[ConnectorOut]:
    """Every system that can be connected, by name. One that cannot be loaded is left out; `syncline doctor` names it."""
    return [_shown(registry.load(info.name)) for info in registry.available() if info.error is None]


@router.get("/{name}", operation_id="get_connector")
def get_connector(name: str, _caller: Annotated[Caller, allowed("connectors:read")]) -> ConnectorOut:
    """One system, with every setting that it needs."""
    if name not in {info.name for info in registry.available() if info.error is None}:
        raise ApiError(404, "unknown_connector", "There is no connector of that name.", remedy="List the connectors.")
    return _shown(registry.load(name))


def _shown(connector: type[Connector]) -> ConnectorOut:
    manifest = connector.manifest
    return ConnectorOut(
        name=manifest.name,
        label=manifest.label,
        docs_url=manifest.docs_url,
        auth=[
            AuthOut(kind=method.kind, settings=_settings(method.settings), scopes=list(method.scopes))
            for method in manifest.auth
        ],
        settings=_settings(manifest.settings),
        objects=[o.name for o in manifest.objects],
        capabilities=sorted(registry.capabilities(connector)),
    )


def _settings(settings: tuple[Setting, ...]) -> list[SettingOut]:
    return [SettingOut(**asdict(s) | {"choices": list(s.choices)}) for s in settings]
