"""Whether mosquitto starts on its saved state, tried on a copy: one flipped bit inside can keep it from
starting, and every gateway would be without a broker until somebody looked.

Nothing in that state is needed, see `persistence`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from common.logs import get_logger
from coordinator.broker.instance import handles_reload
from coordinator.broker.persistence import NAME, set_aside

PATIENCE_S: Final = 5.0
# Beyond it a second loading would keep gateways waiting for longer than the rare damage is worth.
MAX_BYTES: Final = 32 << 20
_POLL_S: Final = 0.005

log = get_logger(__name__)


def set_aside_if_refused(binary: str, folder: Path) -> Path | None:
    """Rename a saved state in `folder` on which `binary`, a mosquitto, does not start; its new path.

    Call it only while no broker runs.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > MAX_BYTES or _starts_on(binary, path):
            return None
        if not _starts_on(binary, None):
            return None  # Not even on nothing: the trial is what fails here.
    except OSError:
        # None there, or no room to try: the broker itself will tell.
        return None
    return set_aside(path, "mosquitto does not start on it")


def _starts_on(binary: str, saved: Path | None) -> bool:
    with tempfile.TemporaryDirectory(prefix="mt-broker-") as name:
        folder = Path(name)
        if saved is not None:
            shutil.copyfile(saved, folder / NAME)
        configuration = folder / "trial.conf"
        user = pwd.getpwuid(os.geteuid()).pw_name
        configuration.write_text(
            f"user {user}\nlistener 0 {folder}/socket\npersistence true\npersistence_location {folder}/\n"
        )
        command = [binary, "-c", str(configuration)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return _comes_up(process)
        finally:
            process.kill()
            process.wait()


def _comes_up(process: subprocess.Popen[bytes]) -> bool:
    """True once it has its signal handlers, which is after loading; also for one that takes its time."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if handles_reload(process.pid):
            return True
        time.sleep(_POLL_S)
    return process.poll() is None
