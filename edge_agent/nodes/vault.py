"""The site file encrypted at rest: AES-256-GCM under a key of this machine.

The key is a systemd credential where there is one, else a file beside the site. What that protects against,
and what not, is in docs/decisions/0016-keys-at-rest.md. Nothing here logs, and no error repeats a key.

    "meshtwin-site1" │ which key, 8 bytes │ nonce, 12 bytes │ cipher text and tag
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from common.errors import Misconfigured
from common.files import make_folder, write_file
from common.mesh.cdb import MAX_SITE_FILE_BYTES
from edge_agent.config import SEALED_SITE

KEY_FILE: Final = "site.key"
CREDENTIAL: Final = "meshtwin-site-key"

_MAGIC: Final = b"meshtwin-site1"
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(_MAGIC) + _ID_BYTES + _NONCE_BYTES
_MAX_KEY_BYTES: Final = 4096
_MAX_SEALED_BYTES: Final = MAX_SITE_FILE_BYTES + 1024
_AGAIN: Final = "import it again: edge-agent nodes import FILE"


class Vault:
    """The sealed site file of one state directory. `environment` may name systemd's credentials."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._credentials = environment.get("CREDENTIALS_DIRECTORY")

    def __repr__(self) -> str:
        return f"Vault({self._folder})"

    @property
    def path(self) -> Path:
        """The sealed file."""
        return self._folder / SEALED_SITE

    def text(self) -> str:
        """The site file's JSON.

        Raises Misconfigured: nothing was imported, the key is not there or another one, or damage. A site's
        keys are never guessed or begun anew.
        """
        sealed = _read(self.path, _MAX_SEALED_BYTES)
        if len(sealed) < _HEAD_BYTES or not sealed.startswith(_MAGIC):
            raise Misconfigured(f"{self.path} is damaged", _AGAIN)
        head, nonce = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        key = self._key()
        if not hmac.compare_digest(_key_id(key), head[len(_MAGIC) : -_NONCE_BYTES]):
            raise Misconfigured(f"{self.path} was sealed with another key", f"restore the key, or {_AGAIN}")
        return _opened(key, nonce, sealed[_HEAD_BYTES:], head, self.path)

    def seal(self, text: str) -> None:
        """Replace the sealed file, whole or not at all. Makes this machine's key when there is none yet.
        Raises Misconfigured."""
        # Late: an agent that reads a plain site file does without.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        make_folder(self._folder)
        key = self._key(make=True)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = _MAGIC + _key_id(key) + nonce
        write_file(self.path, head + AESGCM(_sealing_key(key)).encrypt(nonce, text.encode(), head))

    def keep_former(self) -> Path:
        """Keep the sealed file as it is beside itself, in place of an earlier one: to go back is to rename
        it. Raises Misconfigured."""
        former = self.path.with_name(f"{SEALED_SITE}.former")
        write_file(former, _read(self.path, _MAX_SEALED_BYTES))
        return former

    def _key(self, make: bool = False) -> bytes:
        if self._credentials is not None and (given := Path(self._credentials) / CREDENTIAL).exists():
            return _checked(_read(given, _MAX_KEY_BYTES), given)
        path = self._folder / KEY_FILE
        if make and not path.exists():
            write_file(path, secrets.token_bytes(_KEY_BYTES))
        key = _checked(_read(path, _MAX_KEY_BYTES), path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Misconfigured(f"{path} is readable by others", f"chmod 600 {path}")
        return key


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError as error:
        fix = _AGAIN if path.name == KEY_FILE else "edge-agent nodes import FILE"
        raise Misconfigured(f"there is no {path}", fix) from error
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}", "run as the agent's user") from error
    if len(data) > most:
        raise Misconfigured(f"{path} is larger than anything that was stored there", _AGAIN)
    return data


def _checked(key: bytes, path: Path) -> bytes:
    if len(key) < _KEY_BYTES:
        raise Misconfigured(
            f"{path} has {len(key)} bytes, a key at least {_KEY_BYTES}", f"restore it, or {_AGAIN}"
        )
    return key


def _sealing_key(key: bytes) -> bytes:
    return hmac.digest(key, b"meshtwin site file: sealing key", "sha256")


def _key_id(key: bytes) -> bytes:
    return hmac.digest(key, b"meshtwin site file: which key", "sha256")[:_ID_BYTES]


def _opened(key: bytes, nonce: bytes, sealed: bytes, head: bytes, path: Path) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(_sealing_key(key)).decrypt(nonce, sealed, head).decode()
    except (InvalidTag, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} is damaged", _AGAIN) from error
