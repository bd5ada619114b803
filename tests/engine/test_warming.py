"""Compiling beforehand: at installation, and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coordinator.engine.warming import warm
from coordinator.service.warming import warmed


def test_nothing_that_questions_use_is_left_to_compile() -> None:
    warm()
    from common.radio import kernel
    from coordinator.twin import percolation_kernel

    entries: tuple[Any, ...] = (
        kernel.play,
        percolation_kernel.draw,
        percolation_kernel.arrive,
        percolation_kernel.spread,
    )
    assert all(entry.signatures for entry in entries)


def test_an_image_is_told_what_to_do_on_its_machine(tmp_path: Path) -> None:
    (line,) = warmed(tmp_path, "/opt/meshtwin/bin/python")
    assert "sudo -u meshtwin-coordinator env NUMBA_CACHE_DIR=/var/cache/" in line
    assert "/opt/meshtwin/bin/python -m coordinator.engine.warming" in line


def test_a_failure_to_compile_is_no_failure_of_the_installation() -> None:
    *_, line = warmed(Path("/"), "/there/is/no/python")
    assert line.startswith("note: not compiled")
