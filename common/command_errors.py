"""How every command line of the project ends: one style of errors, one table of exit codes, and no traceback
for Ctrl-C, however early it comes.

Imports next to nothing, so that there is hardly a moment at which Ctrl-C is not guarded against yet.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from common.errors import Corrupt, MeshtwinError, Misconfigured, Rejected

FAILED: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130
EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 it failed, was refused, or got no answer; 2 wrong usage or configuration, or "
    "damage, yours to mend; 130 ended by Ctrl-C."
)
"""The last line of `--help`."""


def told(program: str, error: MeshtwinError) -> str:
    """An error as people read it: what is wrong, and where there is one, the fix on a line of its own.

    A rejection's reason is left out: it is for counting, and the detail says the same in words. What would
    move a terminal's cursor or colours is shown as it is written in programs: it may come from a file.
    """
    text = error.detail if isinstance(error, Rejected) else str(error)
    shown = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return f"{program}: {''.join(shown)}"


def exit_code(error: MeshtwinError) -> int:
    """What a program ends with because of this error. Damage needs a person as much as a wrong configuration
    does: services are not simply started again after either."""
    return WRONG if isinstance(error, Misconfigured | Corrupt) else FAILED


def enter(program: str, load: Callable[[], Callable[[], Any]]) -> int:
    """Import a program with `load`, run what that returns, and return the exit code.

    Ctrl-C ends the process at once while `load` runs, and raises KeyboardInterrupt afterwards, as usual.
    """
    try:
        with _ended_by_interrupts():
            body = load()
        body()
    except MeshtwinError as error:
        print(told(program, error), file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        sys.stderr.close()
        return FAILED
    return 0


@contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """An exception in the middle of an import may end up anywhere; nothing is held yet, so leave."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        # Ignored in the background of a shell, or a caller's own.
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
