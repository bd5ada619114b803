"""The image: a minimal Debian 12 with the project installed as on a gateway and on a server.

The bare system is made once and kept; the machine of a campaign is a copy with a fresh installation.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.errors import Misconfigured
from coordinator.service import install as coordinator_install
from edge_agent.service import install as agent_install
from tools.services.programs import run

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = "/opt/meshtwin/bin/python"
RELEASE: Final = "bookworm"
_PACKAGES: Final = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "mosquitto")
_SOURCES: Final = ("common", "firmware_bridge", "edge_agent", "coordinator")


def bare_system(work: Path) -> Path:
    """A Debian without the project, from this machine's own mirror; made unless it is there."""
    base = work / f"debian-{RELEASE}"
    if not base.exists():
        half = work / f"{base.name}.part"
        shutil.rmtree(half, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", RELEASE, half, mirror())
        half.rename(base)
    return base


def mirror(apt: Path = Path("/etc/apt")) -> str:
    """The package mirror that this machine is set up with. Raises Misconfigured when it has none."""
    sources = [*sorted((apt / "sources.list.d").glob("*.sources")), apt / "sources.list"]
    for file in sources:
        text = file.read_text() if file.exists() else ""
        found = re.search(
            r"^\s*(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(https?://\S+/debian/?)\s", text, re.MULTILINE
        )
        if found:
            return found[1]
    raise Misconfigured(f"no Debian mirror in {apt}", "name one in sources.list: this takes a Debian machine")


def wheels(work: Path, python: str) -> Path:
    """The project and all that it needs, as files for pip; the project's own is built anew."""
    folder, source = work / "wheels", work / "source"
    folder.mkdir(exist_ok=True)
    with _copied_source(source):
        for old in folder.glob("meshtwin-*.whl"):
            old.unlink()
        limits = ROOT / "tools" / "constraints.txt"
        wanted = f"{source}[edge,virtual,coordinator]"
        run(python, "-m", "pip", "wheel", "--quiet", "-c", limits, "-w", folder, wanted, timeout_s=1800.0)
    return folder


@contextmanager
def _copied_source(target: Path) -> Iterator[None]:
    """Building leaves files behind, which do not belong into the tree."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    try:
        for name in _SOURCES:
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, target)
        yield
    finally:
        shutil.rmtree(target)


def machine(work: Path, base: Path, wheelhouse: Path) -> Path:
    """A copy of the bare system with the project installed in /opt/meshtwin, and its services."""
    image = work / "machine"
    shutil.rmtree(image, ignore_errors=True)
    run("cp", "-a", "--reflink=auto", base, image)
    (image / "etc" / "hostname").write_text("meshtwin\n")
    # Debian's own broker would be a second one.
    run("systemctl", f"--root={image}", "mask", "mosquitto.service", "systemd-resolved.service")
    script = (
        "python3 -m venv /opt/meshtwin && /opt/meshtwin/bin/pip install --quiet --no-index"
        " --disable-pip-version-check --find-links /wheels 'meshtwin[edge,virtual,coordinator]'"
    )
    run(
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "--private-network",
        f"--bind-ro={wheelhouse}:/wheels", "-D", image, "sh", "-c", script,
    )  # fmt: skip
    for made in (agent_install.installation(image, PYTHON), coordinator_install.installation(image, PYTHON)):
        for _ in made.install():
            pass
    return image
