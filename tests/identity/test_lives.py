"""Certificates with lives of a minute, in whole systems: broker, `coordinator serve` and an agent, each a
process of its own."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import Rejected
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.config import load_config
from coordinator.enrolment import enrol, revoke
from coordinator.identity.authority import read_certificate
from coordinator.identity.fleet import read_fleet
from coordinator.identity.own import BROKER, GATEWAY_API
from coordinator.installation import InitOptions, initialise
from edge_agent import errand
from edge_agent.config import AgentConfig
from edge_agent.identity.renewal import ERRAND
from tests.broker.client import Client, Refused
from tests.coordinator.conftest import Serving, command
from tests.identity.conftest import SITE, Https
from tests.identity.gateway import RunningAgent, copy_identity, give_lives, running_agent, settle
from tests.identity.test_renew import order

pytestmark = pytest.mark.broker
DEADLINE_S = 60.0
LIFE_S = 60.0


@pytest.fixture
def young(tmp_path: Path) -> Path:
    """A state folder whose certificates for gateways last a minute; none is enrolled yet."""
    folder = tmp_path / "coordinator"
    initialise(folder, InitOptions(port=free_port(), gateways_port=free_port()))
    give_lives(folder, gateway_s=LIFE_S)
    return folder


@pytest.fixture
def system(young: Path) -> Iterator[Serving]:
    with BrokerProcess(young), Serving(young) as serving:
        yield serving


def settled(state: Path, home: Path) -> AgentConfig:
    config = load_config(state)
    return settle(state, home, port=config.gateways.port, broker=config.broker.port)


def eventually(condition: Callable[[], bool], what: str, agent: RunningAgent | None = None) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s\n{agent.log if agent else ''}"
        time.sleep(0.1)


async def test_a_certificate_renews_by_itself_until_the_gateway_is_revoked(
    system: Serving, young: Path, tmp_path: Path
) -> None:
    first = enrol(young, SITE, "gw-1", now=time.time() - 0.6 * LIFE_S)
    config = settled(young, tmp_path / "gateway")
    old = tmp_path / "old"
    shutil.copytree(config.broker.certificate.parent, old)
    with running_agent(config) as agent:
        eventually(lambda: agent.certificate("serial") not in (None, first.serial), "the renewal", agent)
        eventually(lambda: "certificate-renewed" in _events(system), "the event of the renewal", agent)
        eventually(lambda: _standing(young)[first.serial] is False, "the old one's revocation", agent)
        eventually(agent.is_connected, "the connection with the new one", agent)
        with pytest.raises(Refused):
            _connect(young, old)
        https = Https(young, config.coordinator.port)
        assert (await https.ask("GET", f"/v1/models/{'0' * 64}", identity=old)).status == 403

        revoke(young, "gw-1")
        eventually(lambda: "refuses this gateway" in agent.status().get("broker", ""), "the refusal", agent)
        with pytest.raises(Rejected, match="gateway gw-1 was revoked"):
            await errand.send(ERRAND, order(config), 60.0)
        assert agent.status()["mesh"] == "up"


def test_a_gateway_that_was_off_for_long_says_what_helps_and_needs_no_restart(
    system: Serving, young: Path, tmp_path: Path
) -> None:
    enrol(young, SITE, "gw-1", now=time.time() - 3 * LIFE_S)
    config = settled(young, tmp_path / "gateway")
    with running_agent(config) as agent:
        eventually(lambda: agent.certificate("state") == "expired", "the agent's start", agent)
        fix = f"coordinator gateways enrol {SITE} gw-1 --again"
        assert fix in agent.certificate("problem")
        eventually(lambda: "broker-unreachable" in agent.log, "the complaint", agent)
        assert fix in agent.log
        assert agent.log.count("certificate-expired") == 1
        assert agent.status()["mesh"] == "up"

        assert command("gateways", "enrol", SITE, "gw-1", "--again", state=young)[0] == 0
        copy_identity(young, config.broker.certificate.parent)
        eventually(agent.is_connected, "the connection", agent)
        eventually(lambda: "certificate-expired" in _events(system), "the event of the end", agent)


def test_the_coordinators_own_certificates_renew_by_themselves_while_it_runs(tmp_path: Path) -> None:
    state = tmp_path / "coordinator"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    give_lives(state, gateway_s=LIFE_S, server_s=LIFE_S)
    names = (BROKER, GATEWAY_API)
    for name in names:
        (state / "pki" / f"{name}.crt").unlink()
    initialise(state, now=time.time() - 0.6 * LIFE_S)
    enrol(state, SITE, "gw-1")
    before = [read_certificate(state / "pki" / f"{name}.crt").serial_number for name in names]
    config = settled(state, tmp_path / "gateway")
    with BrokerProcess(state), Serving(state), running_agent(config) as agent:
        eventually(agent.is_connected, "the connection", agent)
        eventually(
            lambda: all(
                read_certificate(state / "pki" / f"{name}.crt").serial_number != serial
                for name, serial in zip(names, before, strict=True)
            ),
            "the renewal",
        )
        eventually(agent.is_connected, "the connection goes on", agent)


def test_a_port_in_use_ends_the_coordinator_with_the_fix(young: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", load_config(young).gateways.port))
        taken.listen()
        code, _, errors = command("serve", state=young)
    assert code == 2
    assert "[gateways] port" in errors


def _events(system: Serving) -> set[str]:
    return {event["name"] for event in system.get("events")}


def _standing(state: Path) -> dict[str, bool]:
    """Each certificate of gw-1: whether it is still good."""
    known = read_fleet(state / "fleet.json").gateways["gw-1"].certificates
    return {certificate.serial: certificate.revoked_at is None for certificate in known}


def _connect(state: Path, folder: Path) -> None:
    context = Https(state, 0).context(folder)
    with Client(load_config(state).broker.port, context):
        pass
