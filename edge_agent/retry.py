"""The pause before a service whose configuration is wrong ends, and is started again.

systemd starts the agent again two seconds after any end, which is right after a crash. For a trouble that
only a person mends it would be a start every few seconds for good, on a small machine. Yet it has to come
back by itself, wherever it hangs, once the disk or the file is mended: so it waits a minute first. Debian
12's systemd (252) knows one delay for all ends (`RestartSteps=` came with 254).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Final

from common.notify import Notifier

PAUSE_S: Final = 60.0
_TELL_S: Final = 10.0


class Pause:
    """Knows from the beginning whom to tell: the daemon takes the address out of its environment.

    SIGTERM ends the process in the middle of it, as it does any other that has no handler.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        # Set for the process that systemd itself started, and for no child of it; systemd.exec(5).
        self._is_service = environment.get("SYSTEMD_EXEC_PID") == str(os.getpid())
        self._notifier = Notifier(environment.get("NOTIFY_SOCKET", ""))
        self._sleep = sleep

    def take(self) -> None:
        """Wait, as a service; at once otherwise. The watchdog is fed meanwhile."""
        if not self._is_service:
            return
        for _ in range(int(PAUSE_S / _TELL_S)):
            self._notifier.alive("cannot run as it is configured (see the journal); tries again each minute")
            self._sleep(_TELL_S)
