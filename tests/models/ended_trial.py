"""A trial of a bundle that crashes or hangs the runtime: `TRIAL_ENDS` says how."""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    sys.stdin.buffer.read()
    if os.environ["TRIAL_ENDS"] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    signal.pause()
