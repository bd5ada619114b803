"""What the lab needs of the machine, and how it says that something is missing."""

from __future__ import annotations

import pytest

from common.errors import Misconfigured, NotSupported
from tools.meshlab import programs
from tools.meshlab.programs import VERSION_VARIABLE

EVERYTHING = {name: f"/bin/{name}" for name in ("bluetooth-meshd", "dbus-daemon", "cc")}


def test_everything_is_found_on_the_path() -> None:
    found = programs.find(EVERYTHING.get, ())
    assert (found.meshd, found.dbus_daemon, found.compiler) == tuple(EVERYTHING.values())


@pytest.mark.parametrize(
    ("missing", "package"), [("bluetooth-meshd", "bluez-meshd"), ("dbus-daemon", "dbus"), ("cc", "gcc")]
)
def test_a_missing_program_is_named_with_its_package(missing: str, package: str) -> None:
    present = {name: path for name, path in EVERYTHING.items() if name != missing}
    with pytest.raises(Misconfigured) as refused:
        programs.find(present.get, ("/does/not/exist",))
    assert missing in refused.value.problem
    assert refused.value.fix.startswith(f"apt-get install {package}")


@pytest.mark.parametrize(
    ("text", "version"),
    [("5.66", (5, 66)), ("5.66-1+deb12u2", (5, 66)), ("5.83", (5, 83)), ("1:5.72-0ubuntu5", (5, 72))],
)
def test_versions_that_work_are_let_through(text: str, version: tuple[int, int]) -> None:
    assert programs.check_version("/bin/meshd", {VERSION_VARIABLE: text}) == version


@pytest.mark.parametrize("text", ["5.55", "5.65-1", "5.84", "5.87", "6.0"])
def test_other_versions_are_refused_by_name(text: str) -> None:
    with pytest.raises(NotSupported, match=r"5\.66 to 5\.83"):
        programs.check_version("/bin/meshd", {VERSION_VARIABLE: text})


def test_a_version_that_nobody_knows_has_to_be_told() -> None:
    for environment in ({}, {VERSION_VARIABLE: "newest"}):
        with pytest.raises(Misconfigured) as refused:
            programs.check_version("/does/not/exist", environment)
        assert VERSION_VARIABLE in refused.value.fix


@pytest.mark.meshlab
def test_this_machine_has_what_the_lab_needs() -> None:
    version = programs.check_version(programs.find().meshd)
    assert programs.OLDEST <= version <= programs.NEWEST
