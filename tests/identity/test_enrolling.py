"""What enrolment and renewal write, and what a configuration says of ports and lives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography import x509

from common import config as toml
from common.errors import Misconfigured, Rejected
from coordinator.config import load_config
from coordinator.enrolment import RENEWALS, RENEWALS_PART, TooMany, confirm, enrol, renew
from coordinator.identity.authority import read_certificate
from coordinator.identity.fleet import read_fleet, write_fleet
from coordinator.identity.own import GATEWAY_API
from coordinator.identity.requests import make_key, make_request
from coordinator.installation import InitOptions, initialise, refresh
from edge_agent.config import AgentConfig
from tests.identity.conftest import SITE
from tests.identity.gateway import give_lives

START = 1_800_000_000.0
DAY = 86_400.0


def test_a_gateway_is_told_where_the_coordinator_serves_it(state: Path) -> None:
    config = _agent_of(state, "gw-3")
    assert config.coordinator.port == load_config(state).gateways.port
    assert config.coordinator_host == config.broker.host


def test_an_address_of_its_own_is_told_and_certified(state: Path) -> None:
    path = state / "coordinator.toml"
    path.write_text(path.read_text().replace("[gateways]\n", '[gateways]\nhost = "192.0.2.7"\n'))
    assert refresh(state) == (GATEWAY_API,)
    config = _agent_of(state, "gw-3")
    assert (config.coordinator_host, config.broker.host) == ("192.0.2.7", "127.0.0.1")
    names = read_certificate(state / "pki" / f"{GATEWAY_API}.crt").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "192.0.2.7" in map(str, names.value.get_values_for_type(x509.IPAddress))


def test_a_state_folder_from_before_gets_its_certificate_at_the_next_refresh(state: Path) -> None:
    for kind in ("crt", "key"):
        (state / "pki" / f"{GATEWAY_API}.{kind}").unlink()
    assert refresh(state) == (GATEWAY_API,)


def test_the_port_of_https_is_an_option_that_must_not_contradict(tmp_path: Path) -> None:
    initialise(tmp_path / "state", InitOptions(gateways_port=9443))
    assert load_config(tmp_path / "state").gateways.port == 9443
    with pytest.raises(Misconfigured, match=r"gateways\.port = 9443"):
        initialise(tmp_path / "state", InitOptions(gateways_port=9444))


def test_no_gateway_can_be_named_like_the_server(state: Path) -> None:
    with pytest.raises(Rejected, match="reserved"):
        enrol(state, SITE, GATEWAY_API)


def test_lives_are_as_configured_and_begin_hardly_earlier_than_now(state: Path) -> None:
    give_lives(state, gateway_s=90.0, server_s=45.0)
    done = enrol(state, SITE, "gw-3", now=START)
    certificate = read_certificate(done.folder / "gateway.crt")
    assert done.not_after == START + 90
    assert certificate.not_valid_before_utc.timestamp() == START - 1
    (state / "pki" / f"{GATEWAY_API}.crt").unlink()
    refresh(state, now=START)
    own = read_certificate(state / "pki" / f"{GATEWAY_API}.crt")
    assert own.not_valid_after_utc.timestamp() == START + 45


def test_renewals_are_bounded_within_a_part_of_a_life_and_go_on_after_it(state: Path) -> None:
    serial = enrol(state, SITE, "gw-3", now=START).serial
    request = make_request(make_key(), "gw-3")
    for _ in range(RENEWALS - 1):
        renew(state, "gw-3", serial, request, now=START)
    with pytest.raises(TooMany):
        renew(state, "gw-3", serial, request, now=START + 90 * DAY / RENEWALS_PART - 1)
    renew(state, "gw-3", serial, request, now=START + 90 * DAY / RENEWALS_PART + 1)


def test_a_confirmation_that_a_crash_cut_short_is_completed_by_the_next_refresh(state: Path) -> None:
    first = read_fleet(state / "fleet.json").gateways["gw-1"].newest.serial
    made = renew(state, "gw-1", first, make_request(make_key(), "gw-1"))
    write_fleet(state / "fleet.json", read_fleet(state / "fleet.json").with_only("gw-1", made.serial, START))
    refresh(state)
    listed = x509.load_pem_x509_crl((state / "pki" / "crl.pem").read_bytes())
    assert [f"{entry.serial_number:x}" for entry in listed] == [first]
    assert confirm(state, "gw-1", made.serial) == 0


@pytest.mark.parametrize("gateway", ["gw-1", "gw-x"])
def test_a_certificate_that_is_not_in_the_registry_confirms_and_renews_nothing(
    state: Path, gateway: str
) -> None:
    before = read_fleet(state / "fleet.json")
    with pytest.raises(Rejected):
        confirm(state, gateway, "abc")
    with pytest.raises(Rejected):
        renew(state, gateway, "abc", make_request(make_key(), gateway))
    assert read_fleet(state / "fleet.json") == before


def test_a_renewal_keeps_site_and_address(state: Path) -> None:
    serial = enrol(state, SITE, "gw-3", address=0x0123).serial
    renew(state, "gw-3", serial, make_request(make_key(), "gw-3"), now=time.time())
    known = read_fleet(state / "fleet.json").gateways["gw-3"]
    assert (known.site, known.address, len(known.certificates)) == (SITE, 0x0123, 2)


def _agent_of(state: Path, gateway: str) -> AgentConfig:
    return toml.load(AgentConfig, enrol(state, SITE, gateway, address=0x0123).folder / "agent.toml")
