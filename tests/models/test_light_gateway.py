"""What a gateway installs and loads stays light: nothing that only the coordinator needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
HEAVY = {
    "ai-edge-quantizer", "distributed", "fastapi", "httpx", "jax", "jaxlib", "matplotlib", "nicegui", "numba",
    "optax", "pandas", "psycopg", "psycopg2", "pyarrow", "rustworkx", "scikit-learn", "scipy", "sqlalchemy",
    "starlette", "tensorflow", "torch", "uvicorn",
}  # fmt: skip


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", requirement).lower()


def needed(package: str, extras: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """What an installed package declares to need, with the extras that it asks for."""
    try:
        declared = requires(package) or []
    except PackageNotFoundError:
        # Needed on another platform or Python than this: not installed here, and not followed.
        return
    for text in declared:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            yield name_of(requirement.name), frozenset(requirement.extras)


def closure(extra: str) -> set[str]:
    """Every package that installing `meshtwin[extra]` brings; our own needs as they are declared now."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    ours = map(Requirement, project["dependencies"] + project["optional-dependencies"][extra])
    waiting = [(name_of(one.name), frozenset(one.extras)) for one in ours]
    found, seen = {name for name, _ in waiting}, set(waiting)
    while waiting:
        for one in needed(*waiting.pop()):
            found.add(one[0])
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    return found


@pytest.mark.parametrize("extra", ["edge", "edge-tflite-runtime"])
def test_no_heavy_package_comes_with_a_gateways_extra(extra: str) -> None:
    found = closure(extra)
    assert found & HEAVY == set()
    assert {"pydantic", "msgpack", "paho-mqtt", "dbus-fast"} <= found


def test_the_runtime_comes_with_a_gateways_extra_and_the_rest_with_the_coordinators() -> None:
    assert {"ai-edge-litert", "numpy"} <= closure("edge")
    # The same walk finds heavy packages where they are.
    assert {"jax", "jaxlib", "scipy", "sqlalchemy", "fastapi"} <= closure("coordinator")


def test_a_daemon_without_a_model_has_loaded_nothing_that_it_can_do_without() -> None:
    code = "import sys, edge_agent.app, firmware_bridge.bluez_mesh; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"edge_agent", "pydantic_core", "dbus_fast"} <= loaded
    unwanted = {"ai_edge_litert", "cryptography", "numpy", "psutil", "pydantic", "rich", "typer"}
    assert loaded & unwanted == set()
