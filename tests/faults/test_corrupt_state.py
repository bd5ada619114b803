"""Every file that agent and coordinator leave on disk, cut and flipped: it is restored, or started clean with
a clear word, or a named error tells what to do. Never a traceback, and never the same trouble twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults import agent_state, coordinator_state
from tests.faults.agent_state import AGENT_HOME, AGENT_STATE
from tests.faults.coordinator_state import COORDINATOR_STATE
from tests.faults.damage import FINE, MENDED, StateFile, copy_of, damages, mend, outcome

MAKERS = {
    "agent": (agent_state.make_state, AGENT_STATE),
    "home": (agent_state.make_home, AGENT_HOME),
    "coordinator": (coordinator_state.make_state, COORDINATOR_STATE),
}
CASES = [
    pytest.param(whose, file, id=f"{whose}:{file.pattern}", marks=_marks)
    for whose, (_, table) in MAKERS.items()
    for _marks in ([pytest.mark.broker] if whose == "coordinator" else [],)
    for file in table
    if file.check is not None
]


FIXED = 4
"""How often the named fix is tried for each kind of error of a file."""


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


def specimen(made: dict[str, Path], whose: str, factory: pytest.TempPathFactory) -> Path:
    """The state folder to damage, made once."""
    if whose not in made:
        made[whose] = MAKERS[whose][0](factory.mktemp(whose) / "state")
    return made[whose]


@pytest.mark.parametrize(("whose", "file"), CASES)
def test_damage_is_mended_or_named(
    whose: str, file: StateFile, specimens: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = specimen(specimens, whose, tmp_path_factory)
    paths = [path for path in sorted(whole.rglob("*")) if file.fits(str(path.relative_to(whole)))]
    assert paths, f"no file of this specimen fits {file.pattern}"
    for path in paths:
        name = str(path.relative_to(whole))
        seen: Counter[str] = Counter()
        for what, left in damages(path.read_bytes(), file.places):
            with copy_of(whole) as folder:
                (folder / name).write_bytes(left)
                first = outcome(file, folder, name)
                again = outcome(file, folder, name)
                seen[first] += 1
                if first not in (FINE, MENDED) and seen[first] <= FIXED:
                    mend(file, folder, whole, name)
            wanted = FINE if first in (FINE, MENDED) else first
            assert again == wanted, f"{name} {what}: {first}, and at the next start {again}"
        assert seen.total() > 2
        if not file.raises and not file.why:
            assert seen[MENDED] > 0, f"no damage to {name} was noticed"


@pytest.mark.parametrize(("whose", "file"), CASES)
def test_a_missing_file_is_made_again_or_named(
    whose: str, file: StateFile, specimens: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = specimen(specimens, whose, tmp_path_factory)
    for path in [path for path in sorted(whole.rglob("*")) if file.fits(str(path.relative_to(whole)))]:
        name = str(path.relative_to(whole))
        with copy_of(whole) as folder:
            (folder / name).unlink()
            first = outcome(file, folder, name)
            if first not in (FINE, MENDED):
                assert outcome(file, folder, name) == first
                mend(file, folder, whole, name)


def test_a_file_that_is_not_damaged_is_fine(
    specimens: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for whose, (_, table) in MAKERS.items():
        with copy_of(specimen(specimens, whose, tmp_path_factory)) as folder:
            for file in table:
                if file.check is not None:
                    assert file.check(folder) == FINE, (whose, file.pattern)
