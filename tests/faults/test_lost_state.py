"""State that is lost as a whole, or emptied: it is noticed, named, and the fix that is named works."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from cryptography import x509

from common.errors import Corrupt, Misconfigured
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.config import StatePaths, load_config
from coordinator.enrolment import confirm, enrol, renew, revoke
from coordinator.identity.fleet import Fleet, FleetView, read_fleet
from coordinator.identity.requests import make_key, make_request
from coordinator.installation import InitOptions, initialise, refresh
from coordinator.repository.batch import Batch
from coordinator.repository.store import Repository
from tests.contracts.repository import START, one_link
from tests.coordinator.conftest import Serving, Site, command
from tests.coordinator.sender import measurement

pytestmark = pytest.mark.broker


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """gw-1 is in good standing, gw-2 was revoked, gw-3 has renewed its certificate."""
    folder = tmp_path / "state"
    initialise(folder, InitOptions(port=free_port(), gateways_port=free_port()))
    for number, gateway in enumerate(("gw-1", "gw-2", "gw-3"), 1):
        enrol(folder, "office", gateway, address=number)
    revoke(folder, "gw-2")
    first = fleet(folder).gateways["gw-3"].newest.serial
    confirm(folder, "gw-3", renew(folder, "gw-3", first, make_request(make_key(), "gw-3")).serial)
    return folder


def fleet(state: Path) -> Fleet:
    return read_fleet(state / "fleet.json")


def listed(state: Path) -> set[int]:
    found = x509.load_pem_x509_crl((state / "pki" / "crl.pem").read_bytes())
    return {entry.serial_number for entry in found}


def lose(path: Path, how: str) -> None:
    match how:
        case "missing":
            path.unlink()
        case "emptied":
            path.write_bytes(b"")
        case "begun anew":
            path.write_text('{"v": 1}')
        case _:
            path.write_text("junk\n")


@pytest.mark.parametrize("how", ["missing", "emptied", "junk", "begun anew"])
def test_a_lost_registry_stops_everything_and_the_named_command_restores_it(state: Path, how: str) -> None:
    before, revoked = fleet(state), listed(state)
    rights = (state / "broker" / "acl").read_bytes()
    lose(state / "fleet.json", how)
    with pytest.raises(Corrupt, match="--rebuild-fleet"):
        enrol(state, "office", "gw-1", again=True)
    for words in (("init",), ("serve",)) if how == "missing" else ():
        code, _, errors = command(*words, state=state)
        assert (code, "Traceback" in errors) == (2, False), errors
        assert f"coordinator init --rebuild-fleet --state {state}" in errors
    assert (state / "broker" / "acl").read_bytes() == rights
    code, _, errors = command("init", "--rebuild-fleet", state=state)
    assert (code, "from its copy, with nothing lost: 2 gateway(s)" in errors) == (0, True), errors
    assert fleet(state).gateways == before.gateways
    assert (listed(state), (state / "broker" / "acl").read_bytes()) == (revoked, rights)
    enrol(state, "office", "gw-1", again=True)


def test_a_registry_that_lost_its_copy_too_is_rebuilt_from_the_folders_and_lets_nobody_revoked_in(
    state: Path,
) -> None:
    revoked = listed(state)
    for path in (state / "fleet.json", state / "pki" / "fleet.json"):
        lose(path, "junk")
    with pytest.raises(Corrupt, match="--rebuild-fleet"):
        refresh(state)
    notes = "\n".join(initialise(state, rebuild=True).notes)
    found = fleet(state)
    assert found.active() == {"gw-1": "office"}
    assert found.gateways["gw-1"].address == 1
    assert {name for name, gateway in found.gateways.items() if gateway.revoked} == {"gw-2", "gw-3"}
    assert "gateways enrol office gw-3 --again" in notes
    assert revoked == listed(state)
    enrol(state, "office", "gw-3", again=True)
    assert revoked <= listed(state)
    assert sorted(fleet(state).active()) == ["gw-1", "gw-3"]


def test_revocations_whose_gateway_nobody_knows_any_more_stay_on_the_list(state: Path) -> None:
    revoked = listed(state)
    for name in ("fleet.json", "pki/fleet.json"):
        (state / name).unlink()
    shutil.rmtree(state / "gateways")
    initialise(state, rebuild=True)
    assert (fleet(state).active(), listed(state)) == ({}, revoked)
    revoke_again = enrol(state, "office", "gw-1", again=False)
    assert revoke_again.gateway == "gw-1"
    assert listed(state) == revoked


def test_an_identity_folder_of_another_authority_is_no_proof(state: Path, tmp_path: Path) -> None:
    initialise(tmp_path / "other")
    enrol(tmp_path / "other", "office", "gw-1")
    shutil.copytree(tmp_path / "other" / "gateways" / "gw-1", state / "gateways" / "gw-1", dirs_exist_ok=True)
    for name in ("fleet.json", "pki/fleet.json"):
        (state / name).unlink()
    notes = initialise(state, rebuild=True).notes
    assert "gw-1" not in fleet(state).gateways
    assert any("gw-1 was left out: its certificate is not this authority's" in note for note in notes)


def test_an_older_registry_that_is_put_back_does_not_bring_back_who_was_revoked_since(state: Path) -> None:
    older = (state / "fleet.json").read_bytes()
    revoke(state, "gw-1")
    (state / "fleet.json").write_bytes(older)
    refresh(state)
    assert fleet(state).gateways["gw-1"].revoked


def test_a_rebuilding_that_is_not_needed_changes_nothing(state: Path) -> None:
    before = (state / "fleet.json").read_bytes()
    assert initialise(state, rebuild=True).notes == ("fleet.json is whole: nothing was rebuilt",)
    assert (state / "fleet.json").read_bytes() == before


def test_a_new_folder_has_lost_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        assert initialise(tmp_path / "state").notes == ()
    (tmp_path / "state" / "fleet.json").unlink()
    initialise(tmp_path / "state")


def test_a_registry_that_goes_while_it_is_in_use_stays_in_force(state: Path) -> None:
    view = FleetView(StatePaths(state).fleet)
    assert sorted(view.current().active()) == ["gw-1", "gw-3"]
    whole = (state / "fleet.json").read_bytes()
    (state / "fleet.json").unlink()
    with pytest.raises(Corrupt, match="is missing"):
        view.current()
    (state / "fleet.json").write_bytes(whole)
    assert sorted(view.current().active()) == ["gw-1", "gw-3"]


@pytest.mark.parametrize("text", ["", "\n  \n", "# nothing but a comment\n"])
def test_an_emptied_configuration_is_an_error_and_its_fix_works(state: Path, text: str) -> None:
    port = load_config(state).broker.port
    (state / "coordinator.toml").write_text(text)
    with pytest.raises(Misconfigured, match=r"toml is empty\n.*remove it and run: coordinator init"):
        refresh(state)
    (state / "coordinator.toml").unlink()
    # As the unit does at every start: the defaults are not those of before.
    with pytest.raises(Misconfigured, match="is missing, though an authority is there"):
        initialise(state)
    initialise(state, InitOptions(port=port))
    assert load_config(state).broker.port == port
    assert sorted(fleet(state).active()) == ["gw-1", "gw-3"]


def test_the_first_configuration_names_the_main_tables(state: Path) -> None:
    text = (state / "coordinator.toml").read_text()
    for line in ("[gateways]", '# host = "0.0.0.0"', "[identity]", "# gateway_days = 90"):
        assert line in text.splitlines()


@pytest.mark.parametrize("how", ["missing", "emptied"])
def test_a_lost_repository_is_told_once_at_the_start(tmp_path: Path, how: str) -> None:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    with BrokerProcess(state) as broker, Serving(state) as serving, Site(state, broker).sender() as sender:
        sender.deliver([measurement(n) for n in range(1, 6)])
        assert "repository-empty" not in serving.log.read_text()
        serving.end(signal.SIGTERM)
        for tail in ("-wal", "-shm"):
            (state / f"repository.db{tail}").unlink(missing_ok=True)
        lose(state / "repository.db", how)
        serving.start()
        assert serving.log.read_text().count("repository-empty") == 1


def test_the_repository_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "repository.db"
    for mode, wanted in ((None, 0o600), (0o644, 0o600), (0o640, 0o640)):
        if mode is not None:
            path.chmod(mode)
        with Repository(f"sqlite:///{path}") as repository:
            repository.store(Batch(START, [one_link(1)]))
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert (modes["repository.db"], modes["repository.db-wal"]) == (wanted, wanted)
