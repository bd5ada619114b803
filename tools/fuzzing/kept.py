"""What is read back from a disk that was damaged: the numbers of our own node, and the sealed site file."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from zlib import crc32

from common.errors import Misconfigured
from common.logs import get_logger
from edge_agent.nodes.vault import KEY_FILE, Vault
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.replay import ReplayList
from firmware_bridge.stack_link.state import StackState
from tools.fuzzing.choices import Choices

_FILES: Final = ("numbers.a", "numbers.b", "replay")
_SECRET: Final = "the keys of a site"
_CHANCE: Final = 4
_MEMORY: Final = Path("/dev/shm")
_log: Final = get_logger(__name__)
logging.getLogger(__name__).disabled = True  # it would tell of every damage


def node_state(data: bytes) -> None:
    """IV index, sequence numbers and replay list of our node: made-up files, with a good checksum or not.

    Numbers that are taken must be there after the next start, too: none may be used twice (3.9.3).
    """
    choices = Choices(data)
    with _folder() as folder:
        while choices:
            flags, content = choices.number(1), choices.sized()
            checksum = crc32(content).to_bytes(4, "big") if flags & 4 else b""
            (folder / _FILES[flags % 4 % 3]).write_bytes(content + checksum)
        try:
            numbers, entries = _start(folder)
        except Misconfigured:
            return
        if (numbers, entries) != _start(folder):
            raise AssertionError(f"{numbers} and {len(entries)} sources were other ones after a second start")


def sealed_site(data: bytes) -> None:
    """A sealed site file and its key with bytes changed, inserted and cut: the same site, or an error."""
    choices = Choices(data)
    files = dict(zip(("site.sealed", KEY_FILE), _sealed(), strict=True))
    while choices:
        name = "site.sealed" if choices.number(1) & 1 else KEY_FILE
        at, cut, instead = choices.number(2), choices.number(1), choices.sized()
        before = files[name]
        files[name] = before[: at % (len(before) + 1)] + instead + before[at % (len(before) + 1) + cut :]
    with _folder() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        try:
            text = Vault(folder, {}).text()
        except Misconfigured as error:
            # What is left of a key may be as short as any other word.
            if len(files[KEY_FILE]) > _CHANCE and files[KEY_FILE].hex() in str(error):
                raise AssertionError("a key in an error") from error
            return
    if text != _SECRET:
        raise AssertionError("something else was read than what had been sealed")


def state_seed() -> bytes:
    """The files of a node that has sent and heard, as choices."""
    replay = ReplayList()
    replay.accept(5, 7, 9)
    with _folder() as folder:
        state = StackState(folder, _log)
        state.open()
        state.save(IvState(7, True, 3.0, 4.0), 512)
        state.save_replay(replay)
        state.close()
        contents = [(folder / name).read_bytes()[:-4] for name in _FILES]
    return b"".join(bytes((4 | i, len(content))) + content for i, content in enumerate(contents))


SITE_SEED: Final = bytes((1, 0, 40, 1, 1, 0xFF, 0, 0, 3, 0, 2, 1, 2))


def _start(folder: Path) -> tuple[object, list[tuple[int, int, int]]]:
    state, replay = StackState(folder, _log), ReplayList()
    try:
        numbers = state.open()
        state.read_replay(replay)
    finally:
        state.close()
    return numbers, list(replay.items())


@cache
def _sealed() -> tuple[bytes, bytes]:
    """A good sealed file, and its key."""
    with _folder() as folder:
        vault = Vault(folder, {})
        vault.seal(_SECRET)
        return vault.path.read_bytes(), (folder / KEY_FILE).read_bytes()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder in memory where there is one: the disk would be all that is measured."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        yield Path(name)
