"""Installing systemd units: which files go where, and the few commands around them.

The files are data of the package that they start, so that nothing is made up at run time but the path of the
interpreter. Accounts and folders are left to systemd-sysusers and systemd-tmpfiles, which also work on an
image. Nothing is enabled or started here: an operator has to say first who the machine is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from common.errors import Misconfigured, Unavailable

PYTHON: Final = "@python@"
UNIT_MODE: Final = 0o644
COMMAND_S: Final = 60.0
# Services see neither homes nor the world's temporary folders.
HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_TARGETS: Final = {
    ".service": "etc/systemd/system/{name}",
    ".path": "etc/systemd/system/{name}",
    ".sysusers": "etc/sysusers.d/{stem}.conf",
    ".tmpfiles": "etc/tmpfiles.d/{stem}.conf",
    # The bus daemon watches that folder by itself.
    ".dbus": "etc/dbus-1/system.d/{stem}.conf",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file to install; `path` begins with a slash and is meant below the root."""

    path: str
    text: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Installation:
    """The units of a package, for the machine (`root` is /) or for an image below `root`.

    `python` is the interpreter as the services will find it; `enable` names the units that an operator
    starts.
    """

    package: str
    enable: tuple[str, ...]
    root: Path = Path("/")
    python: str = sys.executable

    def files(self) -> list[File]:
        """What is to be installed, sorted by path."""
        found = []
        for entry in resources.files(self.package).joinpath("files").iterdir():
            stem, dot, suffix = entry.name.rpartition(".")
            target = _TARGETS.get(dot + suffix)
            if target is not None:
                path = "/" + target.format(name=entry.name, stem=stem)
                found.append(File(path, entry.read_text(encoding="utf-8").replace(PYTHON, self.python)))
        return sorted(found, key=lambda file: file.path)

    def commands(self) -> list[list[str]]:
        """What is to be run once the files are there, in this order."""
        files = self.files()
        at = [] if self._is_machine else [f"--root={self.root}"]
        accounts = [["systemd-sysusers", *at, f.name] for f in files if "/sysusers.d/" in f.path]
        folders = [["systemd-tmpfiles", *at, "--create", f.name] for f in files if "/tmpfiles.d/" in f.path]
        return [*accounts, *folders, *self._reload()]

    def preview(self) -> Iterator[str]:
        """What `install` would do, with the text of every file. Changes nothing and needs no rights."""
        for file in self.files():
            yield f"would write {self._at(file)}:"
            yield "".join(f"    {line}\n" for line in file.text.splitlines())
        for command in self.commands():
            yield f"would run {' '.join(command)}"

    def install(self) -> Iterator[str]:
        """Install, telling each step once it is done. Safe to repeat.

        Raises Misconfigured (not root, an interpreter that services cannot see, a file that cannot be
        written) or Unavailable (a command failed).
        """
        self.check()
        for file in self.files():
            yield f"{'wrote' if self._write(file) else 'kept '} {self._at(file)}"
        for command in self.commands():
            _run(command)
            yield f"ran   {' '.join(command)}"

    def uninstall(self) -> Iterator[str]:
        """Stop and disable the services and remove their files. State, configuration and accounts stay.

        Raises as `install`.
        """
        self._check_root()
        at = [] if self._is_machine else [f"--root={self.root}"]
        if any(self._at(file).exists() for file in self.files()):
            now = ["--now"] if self._reload() else []
            command = ["systemctl", *at, "disable", *now, *self.enable]
            _run(command)
            yield f"ran   {' '.join(command)}"
        for file in self.files():
            if self._at(file).exists():
                self._at(file).unlink()
                yield f"removed {self._at(file)}"
        for command in self._reload():
            _run(command)
            yield f"ran   {' '.join(command)}"

    def check(self) -> None:
        """Raise Misconfigured unless the services could be installed and would find their interpreter."""
        for refusal in self.refusals():
            raise refusal

    def refusals(self) -> Iterator[Misconfigured]:
        """Everything that keeps the services from being installed here, or from finding their interpreter."""
        try:
            self._check_root()
        except Misconfigured as error:
            yield error
        paths = (Path(self.python), Path(self.python).resolve(), _package_folder(self.package))
        # The interpreter and what it links to mostly lie in the same place: each problem once.
        for path in dict.fromkeys(paths) if self._is_machine else ():
            try:
                _check_seen(path)
            except Misconfigured as error:
                yield error

    def _check_root(self) -> None:
        words = [word for word in sys.argv[1:] if word != "--dry-run"]
        if self._is_machine and os.geteuid() != 0:
            raise Misconfigured(
                "installing services takes root",
                f"sudo {' '.join([str(Path(sys.argv[0]).absolute()), *words])}, or look with --dry-run",
            )
        if not self.root.is_dir():
            raise Misconfigured(f"{self.root} is no folder", "name the root of an image")

    @property
    def _is_machine(self) -> bool:
        return self.root == Path("/")

    def _reload(self) -> list[list[str]]:
        """Nothing for an image, or where systemd does not run, such as in a chroot; sd_booted(3)."""
        running = self._is_machine and Path("/run/systemd/system").is_dir()
        return [["systemctl", "daemon-reload"]] if running else []

    def _at(self, file: File) -> Path:
        return self.root / file.path[1:]

    def _write(self, file: File) -> bool:
        """True unless the file was there as it should be."""
        path = self._at(file)
        try:
            if path.exists() and path.read_text(encoding="utf-8", errors="replace") == file.text:
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            fresh.write_text(file.text, encoding="utf-8")
            fresh.chmod(UNIT_MODE)
            fresh.replace(path)
        except OSError as error:
            raise Misconfigured(
                f"{path} cannot be written: {error.strerror}", "is the file system read-only?"
            ) from error
        return True


def _check_seen(path: Path) -> None:
    for hidden in HIDDEN:
        if path.is_relative_to(hidden):
            raise Misconfigured(
                f"services cannot see {path}: they have no {hidden}",
                "install meshtwin elsewhere: python3 -m venv /opt/meshtwin, and pip install it there",
            )
    for folder in path.parents:
        if folder.exists() and not folder.stat().st_mode & 0o001:
            raise Misconfigured(
                f"services cannot reach {path}: {folder} is closed to other users", f"chmod o+x {folder}"
            )


def _package_folder(package: str) -> Path:
    return Path(str(resources.files(package))).resolve()


def _run(command: list[str]) -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    if program is None:
        raise Misconfigured(
            f"{command[0]} is not installed", "services need systemd: apt-get install systemd"
        )
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} does not end within {COMMAND_S:.0f} s") from error
    if done.returncode != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
        raise Unavailable(f"{' '.join(command)} failed: {said[:300]}")
