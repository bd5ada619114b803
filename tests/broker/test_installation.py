"""`coordinator init`: what it makes, that it may be repeated, and that it never destroys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from common.errors import Corrupt, Misconfigured
from coordinator.config import StatePaths, load_config
from coordinator.enrolment import revoke
from coordinator.identity.authority import read_certificate
from coordinator.identity.fleet import read_fleet, write_fleet
from coordinator.installation import InitOptions, initialise, installed, refresh
from tests.broker.conftest import eventually

DAY = 86_400.0


def test_a_first_init_makes_everything(tmp_path: Path) -> None:
    made = initialise(tmp_path / "state")
    assert set(made.created) == {
        "configuration",
        "authority",
        "broker certificate",
        "coordinator certificate",
        "gateway API certificate",
        "broker configuration",
        "access list",
        "revocation list",
    }
    assert load_config(tmp_path / "state").broker.port == 8883


def test_a_second_init_changes_nothing(state: Path) -> None:
    before = _contents(state)
    assert initialise(state).created == ()
    assert _contents(state) == before


def test_everything_is_for_the_owner_alone(state: Path) -> None:
    modes = {path: path.stat().st_mode & 0o777 for path in (state, *state.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_a_folder_that_is_used_for_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    tmp_path.chmod(0o755)
    with pytest.raises(Misconfigured, match="empty or a new folder"):
        initialise(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("left", [(), ("coordinator.toml",)])
def test_a_folder_open_to_everybody_is_left_alone_whatever_it_holds(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    for name in left:
        (tmp_path / name).touch()
    tmp_path.chmod(0o1777)
    with pytest.raises(Misconfigured, match="empty or a new folder"):
        initialise(tmp_path)
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777
    assert {path.name for path in tmp_path.iterdir()} == set(left)


def test_an_empty_folder_or_one_whose_first_init_was_killed_becomes_the_coordinators(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / ".coordinator.toml.17").write_text("[coordi")
    assert "configuration" in initialise(tmp_path).created
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(Misconfigured, match="new folder"):
        initialise(tmp_path / "state")


@pytest.mark.parametrize(
    "lost", ["pki/broker.crt", "pki/coordinator.key", "pki/crl.pem", "broker/acl", "broker/mosquitto.conf"]
)
def test_init_makes_again_what_was_lost(state: Path, lost: str) -> None:
    authority = (state / "pki" / "ca.crt").read_bytes()
    (state / lost).unlink()
    initialise(state)
    assert (state / lost).exists()
    assert (state / "pki" / "ca.crt").read_bytes() == authority


@pytest.mark.parametrize("damaged", ["pki/broker.crt", "pki/crl.pem"])
def test_init_makes_again_what_was_cut_short(state: Path, damaged: str) -> None:
    path = state / damaged
    path.write_bytes(path.read_bytes()[:50])
    initialise(state)
    assert len(path.read_bytes()) > 50


def test_an_authority_that_lost_its_key_is_not_replaced(state: Path) -> None:
    (state / "pki" / "ca.key").unlink()
    with pytest.raises(Misconfigured, match="backup"):
        initialise(state)
    assert not (state / "pki" / "ca.key").exists()


def test_a_damaged_key_of_the_authority_is_not_replaced(state: Path) -> None:
    key = state / "pki" / "ca.key"
    key.write_bytes(b"nothing")
    with pytest.raises(Corrupt, match="backup"):
        initialise(state)
    assert key.read_bytes() == b"nothing"


def test_an_init_that_died_after_the_authoritys_key_is_completed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    initialise(state)
    key = (state / "pki" / "ca.key").read_bytes()
    (state / "pki" / "ca.crt").unlink()
    initialise(state)
    assert (state / "pki" / "ca.key").read_bytes() == key
    read_certificate(state / "pki" / "coordinator.crt").verify_directly_issued_by(
        read_certificate(state / "pki" / "ca.crt")
    )


def test_a_damaged_registry_is_told_and_kept(state: Path) -> None:
    (state / "fleet.json").write_text('{"v": 1, "gateways": {')
    with pytest.raises(Corrupt, match="fleet.json"):
        initialise(state)
    assert (state / "fleet.json").read_text() == '{"v": 1, "gateways": {'


def test_options_that_contradict_the_file_are_refused(state: Path) -> None:
    with pytest.raises(Misconfigured, match=r"broker\.host"):
        initialise(state, InitOptions(host="0.0.0.0"))


@pytest.mark.parametrize(
    "options",
    [
        InitOptions(host="no host"),
        InitOptions(port=70_000),
        InitOptions(names=("a\nb",)),
        InitOptions(name='quoted " name', names=("good.example", "-bad")),
        InitOptions(binary="mosquitto\nlistener 1"),
    ],
)
def test_options_that_make_no_sense_leave_no_file(tmp_path: Path, options: InitOptions) -> None:
    with pytest.raises(Misconfigured):
        initialise(tmp_path / "state", options)
    assert not (tmp_path / "state" / "coordinator.toml").exists()


def test_any_printable_name_survives_the_file(tmp_path: Path) -> None:
    initialise(tmp_path / "state", InitOptions(name='Gebäude "Süd" \\ 😀'))
    assert load_config(tmp_path / "state").coordinator.name == 'Gebäude "Süd" \\ 😀'


def test_a_folder_without_coordinator_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="coordinator init --state"):
        load_config(tmp_path)


def test_further_names_come_into_the_brokers_certificate(state: Path) -> None:
    path = state / "coordinator.toml"
    path.write_text(path.read_text().replace("names = []", 'names = ["mesh.example", "192.0.2.7", "::2"]'))
    initialise(state)
    names = read_certificate(state / "pki" / "broker.crt").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    shown = [str(value) for value in names.value.get_values_for_type(x509.IPAddress)]
    assert "mesh.example" in names.value.get_values_for_type(x509.DNSName)
    assert {"192.0.2.7", "::2", "127.0.0.1", "::1"} <= set(shown)


def test_own_certificates_are_renewed_at_two_thirds_of_their_life(tmp_path: Path) -> None:
    state, start = tmp_path / "state", 1_800_000_000.0
    initialise(state, now=start)
    assert refresh(state, now=start + 59 * DAY) == ()
    assert refresh(state, now=start + 61 * DAY) == ("broker", "coordinator", "gateway-api")
    assert refresh(state, now=start + 61 * DAY) == ()


def test_what_was_issued_by_a_clock_that_ran_ahead_is_issued_again(tmp_path: Path) -> None:
    state, start = tmp_path / "state", 1_800_000_000.0
    initialise(state, now=start + 30 * DAY)
    assert refresh(state, now=start) == ("broker", "coordinator", "gateway-api")


def test_the_access_list_follows_the_registry_when_a_crash_came_between(state: Path) -> None:
    """The registry is written first; whatever comes next mends the rest."""
    revoke(state, "gw-a2")
    path = StatePaths(state).fleet
    document = json.loads(path.read_text())
    document["gateways"]["gw-a1"]["revoked"] = True
    document["version"] += 1
    path.write_text(json.dumps(document))
    refresh(state)
    access = (state / "broker" / "acl").read_text()
    assert "user gw-a1" not in access
    assert "user gw-b1" in access


def test_a_change_waits_for_the_change_of_another_process(state: Path) -> None:
    """The installation is locked from reading the registry to writing it, so that neither change is lost."""
    script = "import sys; from pathlib import Path; from coordinator.enrolment import enrol; "
    script += "enrol(Path(sys.argv[1]), 'site-a', 'gw-other')"
    with installed(state) as found:
        process = subprocess.Popen([sys.executable, "-c", script, str(state)])
        eventually(lambda: f" {process.pid} " in _waiters(), "the other process waits")
        write_fleet(state / "fleet.json", found.fleet.without("gw-a1", 0.0))
    assert process.wait(60) == 0
    fleet = read_fleet(state / "fleet.json")
    assert fleet.site_of("gw-other") == "site-a"
    assert fleet.site_of("gw-a1") is None


def _waiters() -> str:
    """The lines of processes that wait for a lock."""
    return "\n".join(line for line in Path("/proc/locks").read_text().splitlines() if "->" in line)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
