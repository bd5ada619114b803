"""Compiles `shim.c` when it is needed: once for each source, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from common.errors import Misconfigured

SOURCE = Path(__file__).with_name("shim.c")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")
_LIBRARIES = ("-lcrypto",)


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Where compiled shims are kept: below XDG_CACHE_HOME, else below ~/.cache."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "meshtwin" / "meshlab"


def build(compiler: str, cache: Path) -> Path:
    """Return the compiled shim, compiling it unless `cache` holds it already.

    Safe to call from several processes at once: the file appears whole or not at all. Raises Misconfigured
    with the package that is missing.
    """
    target = cache / f"shim-{_key()}.so"
    if target.exists():
        return target
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(suffix=".so", dir=cache)
        os.close(handle)
    except OSError as error:
        raise Misconfigured(
            f"cannot write to {cache}: {error.strerror}", "set XDG_CACHE_HOME to a folder of your own"
        ) from error
    try:
        _compile(compiler, Path(unfinished))
        os.replace(unfinished, target)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return target


def _key() -> str:
    # Foreign architectures may share a home folder.
    parts = (SOURCE.read_bytes(), platform.machine().encode(), *(f.encode() for f in _FLAGS + _LIBRARIES))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _compile(compiler: str, target: Path) -> None:
    command = [compiler, *_FLAGS, "-o", str(target), str(SOURCE), *_LIBRARIES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Misconfigured(f"{compiler} does not run: {error}", "apt-get install gcc") from error
    if done.returncode:
        raise _failure(done.stderr)


def _failure(told: str) -> Misconfigured:
    if "openssl/" in told or "-lcrypto" in told:
        return Misconfigured("the headers of OpenSSL are missing", "apt-get install libssl-dev")
    first = next((line for line in told.splitlines() if "error" in line), told[:200])
    return Misconfigured(f"{SOURCE.name} does not compile: {first}", "apt-get install gcc libc6-dev")
