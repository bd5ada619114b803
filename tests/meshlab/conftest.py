"""The compiled shim and short folders, shared by the lab's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.meshlab import programs, shim


@pytest.fixture(scope="session")
def shim_library() -> Path:
    """The compiled shim, from the user's cache as in a real lab."""
    return shim.build(programs.find().compiler, shim.default_cache())


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder with a path short enough for Unix sockets, which pytest's own is not always."""
    with tempfile.TemporaryDirectory(prefix="meshlab-test-") as name:
        yield Path(name)
