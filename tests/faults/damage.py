"""Every way to cut a file short or to flip a bit of it; of large files a sample."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import MeshtwinError

FINE: Final = "fine"
MENDED: Final = "mended"
"""It was noticed, said, and the file replaced or done without."""

ROOT: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Thousands of copies: in memory where that can be."""

HEAD_BYTES: Final = 24
"""Of every file these are damaged one by one: magic numbers, checksums, versions."""


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file that outlives its process, and what becomes of it when it is damaged.

    `pattern` fits its path below the state folder. `check` opens it as the process does and tells FINE or
    MENDED, or raises; `raises` are the errors that may come of damage, all of them naming the file. Without a
    `check` nobody reads it, and `why` says so; `why` also tells where damage makes no difference. `places` is
    how many bytes are damaged at most. `fix(folder, whole)` does what the error names, by default to restore
    the file from a copy, such as `whole`.
    """

    pattern: str
    check: Callable[[Path], str] | None = None
    raises: tuple[type[MeshtwinError], ...] = ()
    places: int = 400
    why: str = ""
    fix: Callable[[Path, Path], None] | None = None

    def fits(self, path: str) -> bool:
        return re.fullmatch(self.pattern, path) is not None


def damages(whole: bytes, places: int) -> Iterator[tuple[str, bytes]]:
    """(what was done, what is left) for cuts and flipped bits at no more than about `places` bytes."""
    step = max(1, len(whole) // places)
    chosen = sorted({*range(min(HEAD_BYTES, len(whole), places)), *range(0, len(whole), step)})
    for place in chosen:
        yield f"cut at {place}", whole[:place]
        flipped = whole[place] ^ (1 << place % 8)
        yield f"bit flipped in {place}", whole[:place] + bytes([flipped]) + whole[place + 1 :]
    yield "of noise", bytes(range(256)) * 4


def mend(file: StateFile, folder: Path, whole: Path, name: str) -> None:
    """Do what the error names; afterwards all is fine, at this start and at the next."""
    assert file.check is not None
    if file.fix is not None:
        file.fix(folder, whole)
    else:
        shutil.copy(whole / name, folder / name)
    first, again = file.check(folder), file.check(folder)
    assert (first in (FINE, MENDED), again) == (True, FINE), f"the fix for {name} does not help: {again}"


@contextmanager
def copy_of(folder: Path) -> Iterator[Path]:
    """A copy of a state folder, thrown away afterwards."""
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        copy = Path(name) / folder.name
        shutil.copytree(folder, copy, symlinks=True)
        yield copy


def outcome(file: StateFile, folder: Path, name: str) -> str:
    """What `check` says of a damaged file; the name of the error's class when it is one that may come.

    Any other exception is the fault that is looked for, and goes on.
    """
    assert file.check is not None
    try:
        return file.check(folder)
    except file.raises as error:
        told = error
    if Path(name).name not in str(told):
        raise AssertionError(f"the error does not name {name}: {told}") from told
    return type(told).__name__
