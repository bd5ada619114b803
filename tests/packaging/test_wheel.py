"""A wheel has all that lies in the packages, and is made without a compiler too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("common", "firmware_bridge", "edge_agent", "coordinator")
# What earlier builds made, and what is for readers of the source.
LEFT: Final = shutil.ignore_patterns("__pycache__", "build", "*.so", "*.c", "README.md")
BUILD: Final = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
ASK: Final = (
    "import common; from common.placement.kernel import is_compiled; print(common.__file__, is_compiled())"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as a clone has it: nothing that an earlier build left there."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=LEFT)
    return folder


def test_a_wheel_made_without_a_compiler_has_every_file_and_places_interpreted(
    source: Path, tmp_path: Path
) -> None:
    wanted = {
        str(path.relative_to(source))
        for name in PACKAGES
        for path in (source / name).rglob("*")
        if path.is_file()
    }
    subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)],
        cwd=source,
        env={**os.environ, "CC": "/bin/false"},
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        found = {name for name in packed.namelist() if ".dist-info/" not in name}
        packed.extractall(tmp_path / "installed")
    assert found == wanted
    # Isolated from the folder it is called in, where the packages lie too.
    asked = subprocess.run(
        [sys.executable, "-P", "-c", ASK],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert asked.stdout.split() == [str(tmp_path / "installed/common/__init__.py"), "False"]
    assert asked.stderr == ""
