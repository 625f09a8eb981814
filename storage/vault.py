"""Secrets at rest: AES-256-GCM in envelopes.

Every credential has a random data key of its own; that key is stored encrypted under a master key, which never enters the
database. Both layers are bound (as additional authenticated data) to what they are, tenant, owner (a connection, an endpoint) and
master key id: a row copied to another tenant or owner does not open.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import ConfigurationError

KEYS_VARIABLE = "SYNCLINE_MASTER_KEYS"
KEYS_FILE = "master.keys"
_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the database holds of a credential. ``wrapped_key`` is the data key under master key ``key_id``."""

    key_id: str
    wrapped_key: bytes
    ciphertext: bytes

    @classmethod
    def of(cls, row: Any) -> Sealed:
        """From a row of a table that holds the columns of this name."""
        return cls(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext))

    def columns(self) -> dict[str, Any]:
        """The columns to store."""
        return {"key_id": self.key_id, "wrapped_key": self.wrapped_key, "ciphertext": self.ciphertext}


@dataclass(frozen=True)
class MasterKeys:
    """Master keys by id. ``current`` seals; the others still open what they sealed."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def load(cls, home: Path) -> MasterKeys:
        """From the environment (``SYNCLINE_MASTER_KEYS=id:base64,id2:base64``, the first is current), else from the key file
        in ``home``, which is created on first use and readable by its owner alone.

        Raises ConfigurationError for unreadable keys, and for a key file that others can read.
        """
        given = os.environ.get(KEYS_VARIABLE, "").strip()
        if given:
            return cls.parse(given.split(","), KEYS_VARIABLE)
        path = Path(home) / KEYS_FILE
        if not path.exists():
            _create_key_file(path)
        return cls._from_file(path)

    @classmethod
    def parse(cls, entries: Iterable[str], where: str) -> MasterKeys:
        """Keys written as ``id:base64``, the current one first. Errors name ``where`` and the position, never the text."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate((e.strip() for e in entries if e.strip()), 1):
            name, _, text = entry.partition(":")
            key = _decoded(text)
            if not name or key is None or name in keys:
                raise ConfigurationError(
                    f"Master key {number} in {where} is not valid.",
                    remedy="Write each as id:base64, with an id of its own and 32 random bytes.",
                )
            keys[name] = key
        if not keys:
            raise ConfigurationError(f"There is no master key in {where}.", remedy="Restore it from your backup.")
        return cls(next(iter(keys)), keys)

    @classmethod
    def renew(cls, home: Path) -> MasterKeys:
        """Add a fresh current key to the key file; the old ones stay, so that everything still opens. `rotate` comes next."""
        if os.environ.get(KEYS_VARIABLE, "").strip():
            raise ConfigurationError(
                f"The master keys come from {KEYS_VARIABLE}.",
                remedy="Put the new key first in that variable, then rotate.",
            )
        old = cls.load(home)
        lines = [_fresh_line(), *(f"{name}:{base64.b64encode(key).decode()}" for name, key in old.keys.items())]
        path = Path(home) / KEYS_FILE
        draft = path.with_name(f"{KEYS_FILE}.{secrets.token_hex(4)}")
        _write_private(draft, "\n".join([*lines, ""]))
        draft.replace(path)
        return cls._from_file(path)

    @classmethod
    def _from_file(cls, path: Path) -> MasterKeys:
        try:
            if path.stat().st_mode & 0o077:
                raise ConfigurationError(f"Other users can read the key file {path}.", remedy=f"Run: chmod 600 {path}")
            return cls.parse(path.read_text(encoding="ascii").splitlines(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"The key file {path} cannot be read.", remedy="Run as its owner, or restore it."
            ) from error

    def key(self, key_id: str) -> bytes:
        """The key called ``key_id``. Raises ConfigurationError."""
        try:
            return self.keys[key_id]
        except KeyError:
            raise ConfigurationError(
                f"A credential is encrypted under the master key {key_id}, which is not among the {len(self.keys)} given.",
                remedy=f"Add that key to {KEYS_VARIABLE} or the key file, or connect again.",
                code="master_key_missing",
            ) from None


class Vault:
    """Seals and opens credentials. Holds keys, so its repr tells nothing."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys

    def __repr__(self) -> str:
        return f"Vault(current={self._keys.current!r})"

    @property
    def current_key(self) -> str:
        """Id of the master key that seals."""
        return self._keys.current

    def seal(
        self, tenant_id: UUID, owner_id: UUID, credentials: Mapping[str, Any], *, purpose: str = "credential"
    ) -> Sealed:
        """Encrypt ``credentials`` (JSON values) for one owner (a connection) of one tenant, under a new data key."""
        key_id = self._keys.current
        data_key = AESGCM.generate_key(bit_length=256)
        plain = json.dumps(dict(credentials), ensure_ascii=False).encode()
        return Sealed(
            key_id,
            _encrypt(self._keys.key(key_id), data_key, _binding(purpose, "key", tenant_id, owner_id, key_id)),
            _encrypt(data_key, plain, _binding(purpose, "data", tenant_id, owner_id, key_id)),
        )

    def open(self, tenant_id: UUID, owner_id: UUID, sealed: Sealed, *, purpose: str = "credential") -> dict[str, Any]:
        """Decrypt. Raises ConfigurationError when the row was altered, belongs elsewhere or its master key is missing."""
        master = self._keys.key(sealed.key_id)
        try:
            binding = _binding(purpose, "key", tenant_id, owner_id, sealed.key_id)
            data_key = _decrypt(master, sealed.wrapped_key, binding)
            plain = _decrypt(data_key, sealed.ciphertext, _binding(purpose, "data", tenant_id, owner_id, sealed.key_id))
        except (InvalidTag, ValueError):
            what = "credentials of connection" if purpose == "credential" else "secrets of"
            raise ConfigurationError(
                f"The stored {what} {owner_id} do not open: they were altered, belong to another "
                "tenant or connection, or another key bears the same id.",
                remedy="Check the master keys; if they are right, connect again (or set the secret anew).",
                code="credentials_damaged",
            ) from None
        credentials: dict[str, Any] = json.loads(plain)
        return credentials


def _binding(purpose: str, layer: str, tenant_id: UUID, owner_id: UUID, key_id: str) -> bytes:
    return "\x1f".join((f"syncline.{purpose}.1", layer, str(tenant_id), str(owner_id), key_id)).encode()


def _encrypt(key: bytes, plain: bytes, binding: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, binding)


def _decrypt(key: bytes, sealed: bytes, binding: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], binding)


def _decoded(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _KEY_BYTES else None


def _fresh_line() -> str:
    return f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


def _create_key_file(path: Path) -> None:
    """Two processes may come here at once: the file appears whole, and the second one's is thrown away."""
    draft = path.with_name(f"{KEYS_FILE}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(draft, _fresh_line() + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be written: {(error.strerror or 'unknown reason').lower()}.",
            remedy=f"Make its directory writable, or set {KEYS_VARIABLE}.",
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
