"""What the kind `hog` does: each way of misbehaving by its name."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from common.kinds.kind import Blobs
from tests.tasks.hogs.kinds import HogParameters


def hog(given: HogParameters, inputs: Blobs) -> Blobs:
    """Do it."""
    globals()[given.how]()
    return {"said": b"still here"}


def allocate() -> None:
    """Ten gigabytes, written to."""
    held = [bytearray(os.urandom(1 << 20)) for _ in range(10 << 10)]
    assert held


def reserve() -> None:
    """Ten gigabytes at once."""
    assert bytearray(10 << 30)


def share_memory() -> None:
    """Ten gigabytes that count as nobody's data."""
    import mmap

    held = mmap.mmap(-1, 10 << 30)
    for at in range(0, 10 << 30, 4096):
        held[at] = 1


def allocate_in_children() -> None:
    """Children of which each stays below the limit."""
    for _ in range(8):
        if os.fork() == 0:
            held = bytearray(os.urandom(150 << 20))
            time.sleep(600)
            os._exit(len(held) % 2)
    time.sleep(600)


def fork_bomb() -> None:
    """Children that have children."""
    while True:
        try:
            os.fork()
        except OSError:
            pass


def escape() -> None:
    """A daemon that wants to outlive the task."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()


def spin() -> None:
    """Never ends, and takes a processor."""
    while True:
        pass


def sleep() -> None:
    """Never ends, and takes nothing."""
    time.sleep(3600)


def leave() -> None:
    """Ends its process."""
    os._exit(3)


def leave_politely() -> None:
    """Asks the interpreter to end."""
    sys.exit(0)


def crash() -> None:
    """A segmentation fault, as native code may cause."""
    import ctypes

    ctypes.string_at(0)


def garble() -> None:
    """Writes nonsense to every pipe that it holds."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            pass


def print_much() -> None:
    """Gigabytes on its standard output."""
    line = "x" * (1 << 20)
    for _ in range(4096):
        print(line)
        print(line, file=sys.stderr)


def fill_disk() -> None:
    """A file without end."""
    with open("large", "wb") as file:
        while True:
            file.write(bytes(1 << 20))


def raise_error() -> None:
    """A bug."""
    raise RuntimeError("a bug of the kind")


def look_around() -> None:
    """Fails when it sees what it should not."""
    secrets = [name for name in os.environ if "SECRET" in name or "TOKEN" in name]
    assert not secrets, secrets
    extra = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    targets = sorted({os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in extra})
    assert targets == ["/dev/null", "pipe"], targets
    assert os.getcwd() == os.environ["HOME"]


def start_program() -> None:
    """A program that goes on in the background."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
