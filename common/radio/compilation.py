"""Compiling the kernel: once for each machine and version, afterwards numba's disk cache has it.

That takes 15 to 60 s of a core, so whoever waits for it is told. `python -m common.radio.compilation` does it
beforehand: at installation, say. The cache lies beside the code, or where NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

from common.logs import get_logger
from common.radio.parameters import DEFAULT
from common.scenario import Flow, Node, Scenario

log = get_logger(__name__)

_SILENT_S: Final = 2.0
"""Loading from the cache takes less; nobody needs to be told."""

_lock = threading.RLock()
_warm = False


def warm() -> None:
    """Make the kernel ready; at once if it is. Threads that come meanwhile wait."""
    global _warm
    with _lock:
        if _warm:
            return
        _warm = True  # The play below comes here again.
        notice = threading.Timer(_SILENT_S, _tell)
        notice.daemon = True
        notice.start()
        begun = time.monotonic()
        try:
            _play_once()
        except BaseException:
            _warm = False
            raise
        finally:
            notice.cancel()
        log.debug("simulator-ready", seconds=round(time.monotonic() - begun, 1))


def _tell() -> None:
    log.warning("simulator-compiling", note="once for this machine and version, up to a minute")


def _play_once() -> None:
    try:
        _play_the_least()
    except Exception as error:
        # Numba reads its cache as pickles: one of an earlier version, or cut by a crash, raises anything.
        log.warning("simulator-cache-unusable", reason=repr(error), note="made anew")
        _forget()
        _play_the_least()


def _forget() -> None:
    from common.radio import kernel

    for pattern in ("kernel.*.nbi", "kernel.*.nbc"):
        for file in Path(kernel.play.stats.cache_path).glob(pattern):  # type: ignore[attr-defined]
            file.unlink(missing_ok=True)


def _play_the_least() -> None:
    from common.radio.play import play

    flow = Flow(source=1, destination=2, period_s=1.0, offset_s=0.0)
    site = Scenario(nodes=[Node(address=1), Node(address=2, x=1.0)], flows=[flow], duration_s=0.5)
    play(site, DEFAULT)


if __name__ == "__main__":
    warm()
