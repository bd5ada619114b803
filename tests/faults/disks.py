"""Small real disks: one that fills up, one that the kernel makes read-only. Mounting needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("mount", "umount", "setpriv"))),
    reason="mounts a disk and drops root's rights: needs root, mount and setpriv",
)
NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A short folder that an unprivileged process can reach, owned by it."""
    folder = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def tmpfs(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A disk of 1 MB at `folder`, which belongs to nobody."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size},mode=700,uid={NOBODY},gid={NOBODY}", "tmpfs"):
        yield folder


@contextmanager
def ext4(folder: Path) -> Iterator[Path]:
    """A disk with a file system that becomes read-only when it meets an error, as worn cards do."""
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    _run("mkfs.ext4", "-q", "-F", str(image))
    with _mounted(folder, "-o", "loop,errors=remount-ro", str(image)):
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o700)
        yield folder


def fill(disk: Path) -> Path:
    """Take every free byte of a disk; the file to remove for getting them back."""
    hog = disk / "somebody-elses.log"
    with hog.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return hog


def make_read_only(disk: Path) -> None:
    """Let the kernel meet an error on an `ext4` disk, files open for writing or not."""
    device = _run("findmnt", "-no", "SOURCE", str(disk)).strip()
    Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("1")


@contextmanager
def _mounted(folder: Path, *what: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    try:
        _run("mount", *what, str(folder))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine mounts nothing: {error.stderr}")
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
