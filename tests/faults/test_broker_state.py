"""A bit of the broker's saved state has flipped: it starts all the same, with or without that state."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from common.messages import Status
from coordinator.broker.persistence import NAME
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.coordinator.sender import Sender, wait_for

pytestmark = pytest.mark.broker
PLACES = 40


def saved_state(state: Path) -> bytes:
    """What a broker with a retained status leaves."""
    with BrokerProcess(state) as broker, Sender(broker.port, state / "gateways" / "gw-1") as sender:
        sender.tell(Status(site="office", gateway="gw-1", time=time.time(), online=True, period_s=2.0))
        wait_for(lambda: not sender._client._out_messages, "the broker to have it")
    return (state / "broker" / "data" / NAME).read_bytes()


def test_the_broker_starts_whatever_bit_of_its_saved_state_has_flipped(tmp_path: Path) -> None:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    whole = saved_state(state)
    path = state / "broker" / "data" / NAME
    for place in range(0, len(whole), len(whole) // PLACES):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with BrokerProcess(state):
            pass
    assert path.with_name(f"{NAME}.damaged").exists()
    path.with_name(f"{NAME}.damaged").unlink()
    path.write_bytes(whole)
    with BrokerProcess(state):
        pass
    assert not path.with_name(f"{NAME}.damaged").exists()
