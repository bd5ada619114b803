"""What a broker with an account of its own is given, and whose files root's commands leave behind."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.broker.configuration import BrokerFiles
from coordinator.broker.instance import reload_broker, take_lock
from coordinator.broker.process import free_port
from coordinator.config import StatePaths, load_config
from coordinator.enrolment import enrol, revoke
from coordinator.installation import InitOptions, initialise
from coordinator.service.handover import FOLDER, MARK, folder_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "coordinator"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The folder as installing the services makes it."""
    folder = tmp_path / FOLDER
    for name in ("pki", "broker/data"):
        (folder / name).mkdir(parents=True)
    (folder / MARK).touch()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_without_services_nothing_is_handed_over(state: Path) -> None:
    initialise(state)
    assert folder_of(state) is None
    assert [path.name for path in state.parent.iterdir()] == [state.name]


def test_the_broker_gets_its_own_files_and_no_others(state: Path, given: Path) -> None:
    initialise(state, InitOptions(port=free_port()))
    files = content(given)
    assert set(files) == {
        MARK, "coordinator.toml", "broker/acl", "broker/mosquitto.conf",
        "pki/ca.crt", "pki/broker.crt", "pki/broker.key", "pki/crl.pem",
    }  # fmt: skip
    for name in ("pki/broker.key", "pki/ca.crt", "pki/crl.pem", "broker/acl"):
        assert files[name] == (state / name).read_bytes()
    assert (state / "pki" / "ca.key").read_bytes() not in files.values()
    assert str(state) not in files["broker/mosquitto.conf"].decode()
    assert f"keyfile {given}/pki/broker.key" in files["broker/mosquitto.conf"].decode()
    assert {stat.S_IMODE((given / name).stat().st_mode) for name in files} == {0o640}


def test_a_password_in_the_configuration_stays_with_the_coordinator(state: Path, given: Path) -> None:
    initialise(state)
    file = state / "coordinator.toml"
    file.write_text(file.read_text().replace("sqlite:///{state}/repository.db", "postgresql://u:sesame@h/d"))
    initialise(state)
    assert not any(b"sesame" in found for found in content(given).values())
    assert load_config(given).broker == load_config(state).broker


def test_rights_given_and_taken_are_handed_over_with_word_of_it(state: Path, given: Path) -> None:
    initialise(state)
    before = (given / MARK).stat().st_mtime_ns
    enrol(state, "office", "gw-1")
    enrolled = (given / MARK).stat().st_mtime_ns
    assert b"gw-1" in (given / "broker" / "acl").read_bytes()
    assert enrolled > before
    initialise(state)
    assert (given / MARK).stat().st_mtime_ns == enrolled, "nothing has changed"
    revoke(state, "gw-1")
    assert b"gw-1" not in (given / "broker" / "acl").read_bytes()
    assert (given / "pki" / "crl.pem").read_bytes() == (state / "pki" / "crl.pem").read_bytes()


def test_whether_that_broker_runs_is_told_from_its_lock(state: Path, given: Path) -> None:
    initialise(state)
    assert not reload_broker(state)
    lock = take_lock(BrokerFiles(StatePaths(given).broker))
    try:
        assert reload_broker(state)
    finally:
        os.close(lock)


def test_a_damaged_copy_is_mended(state: Path, given: Path) -> None:
    initialise(state)
    (given / "pki" / "broker.key").write_bytes(b"")
    (given / "broker" / "acl").unlink()
    initialise(state)
    for name in ("pki/broker.key", "broker/acl"):
        assert (given / name).read_bytes() == (state / name).read_bytes()


def test_a_folder_without_configuration_is_one_error(given: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coordinator.service.broker", str(given)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("meshtwin-broker: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another account takes root")
def test_roots_commands_are_done_as_the_folders_owner(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    code = (
        "import os, sys; from pathlib import Path; from common.owner import become_owner\n"
        "become_owner(Path(sys.argv[1])); print(*os.getresuid(), *os.getresgid())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [str(nobody.pw_uid)] * 3 + [str(nobody.pw_gid)] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another account takes root")
def test_roots_own_folder_stays_roots(tmp_path: Path) -> None:
    from common.owner import become_owner

    become_owner(tmp_path)
    become_owner(tmp_path / "none")
    assert os.geteuid() == 0
