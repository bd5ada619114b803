"""Work for workers: small functions of a module, as an engine needs them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from common.errors import Misconfigured, Rejected, RejectReason


class Unspeakable(Exception):
    """An error that cannot be made again from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def modules() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def environment(name: str) -> str | None:
    return os.environ.get(name)


def open_files() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:
            pass
    return found


def refuse() -> None:
    raise Rejected(RejectReason.INVALID, "nothing to do")


def ask_the_operator() -> None:
    raise Misconfigured("it is wrong", "mend it")


def break_down() -> None:
    raise ZeroDivisionError("a bug")


def say_the_unspeakable() -> None:
    raise Unspeakable(1, 2)


def give_what_cannot_be_sent() -> object:
    return lambda: None


def vanish() -> None:
    os._exit(3)


def shoot_oneself() -> None:
    os.kill(os.getpid(), 9)


def hang(told: Path, seconds: float = 60.0) -> str:
    """Say that it has begun, in the file `told`."""
    told.write_text(str(os.getpid()))
    time.sleep(seconds)
    return "done"


def wait_for_file(path: Path, deadline_s: float = 60.0) -> int:
    """Until somebody makes the file."""
    end = time.monotonic() + deadline_s
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid()


def echo(content: bytes) -> bytes:
    return content
