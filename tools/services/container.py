"""The booted container, and commands in it. It has a network of its own: nothing outside is reached."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from common.errors import MeshtwinError, TimedOut, Unavailable
from tools.services.programs import run

BOOT_S: Final = 60.0
POLL_S: Final = 0.1
REBOOT_CODE: Final = 133
"""What systemd-nspawn leaves with under --keep-unit: who started it shall start it again."""

_ENVIRONMENT: Final = ("PATH=/opt/meshtwin/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")


class Container:
    """`with Container(image, log) as inside:` is booted within; all of it is gone after."""

    def __init__(self, image: Path, log: Path) -> None:
        self._image = image
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Container:
        try:
            self.boot()
        except BaseException:
            self.halt()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt()

    def boot(self) -> None:
        """Start it, and return once systemd is up."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
                 "--console=read-only", "-D", str(self._image)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}, start_new_session=True,
            )  # fmt: skip
        self._await_boot()

    def reboot(self) -> None:
        """Let the system inside shut down for a reboot, and boot it again. Raises Unavailable, TimedOut."""
        process = self._process
        assert process is not None
        self.call("systemctl", "--no-block", "reboot")
        try:
            code = process.wait(BOOT_S)
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"it does not shut down within {BOOT_S:.0f} s") from error
        if code != REBOOT_CODE:
            raise Unavailable(f"it has ended with {code}, which is not a reboot")
        self.boot()

    def halt(self) -> None:
        """Shut it down; kill it when that takes too long."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def leader(self) -> int:
        """The process outside that is the first one inside. Raises Unavailable."""
        if self._process is None or self._process.poll() is not None:
            raise Unavailable(f"the container has ended; see {self._log}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            raise Unavailable("the container is not up")
        return int(children[0])

    def call(self, *command: str, timeout_s: float = 120.0, stdin: str | None = None) -> str:
        """Run a command inside as root; its output. Raises Unavailable when it fails, TimedOut."""
        enter = ("nsenter", "--all", "--target", str(self.leader()), "--", "env", "-i", *_ENVIRONMENT)
        return run(*enter, *command, timeout_s=timeout_s, stdin=stdin)

    def fails(self, *command: str) -> bool:
        """Whether a command inside fails."""
        try:
            self.call(*command)
        except Unavailable:
            return True
        return False

    def property(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` tells it."""
        return self.call("systemctl", "show", "--value", "-p", name, unit).strip()

    def wait(self, condition: Callable[[], bool], what: str, seconds: float) -> float:
        """Poll until it holds; the seconds that it took. What fails meanwhile is asked again.

        Raises TimedOut.
        """
        begun = time.monotonic()
        last: MeshtwinError | None = None
        while time.monotonic() - begun < seconds:
            try:
                if condition():
                    return time.monotonic() - begun
            except MeshtwinError as error:
                last = error
            time.sleep(POLL_S)
        raise TimedOut(f"no {what} within {seconds:.0f} s" + (f"; last: {last}" if last else ""))

    def _await_boot(self) -> None:
        self.wait(self._is_up, "boot", BOOT_S)

    def _is_up(self) -> bool:
        # Waits inside; degraded is up as well, and what has failed shows in the checks.
        state = self.call("sh", "-c", "systemctl is-system-running --wait || true").strip()
        return state in ("running", "degraded")
