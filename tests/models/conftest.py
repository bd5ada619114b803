"""Identities and a server for the tests of models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.broker.process import free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.models.server import Shelf, serving


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coordinator's state folder with one enrolled gateway, gw-1; not to be changed."""
    folder = tmp_path_factory.mktemp("coordinator") / "state"
    initialise(folder, InitOptions(port=free_port()))
    enrol(folder, "hall", "gw-1")
    return folder


@pytest.fixture
def shelf(state: Path) -> Iterator[Shelf]:
    with serving(state) as shelf:
        yield shelf
