"""The mirror in a coordinator that runs: from a gateway's message over a real broker to the twin's answer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import Rejected, RejectReason
from common.messages import Envelope, Status
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.client import Client
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from coordinator.repository.batch import Incoming
from firmware_bridge.virtual import virtual_site
from tests.coordinator.conftest import Serving, Site
from tests.coordinator.sender import wait_for
from tests.twin.living_site import LivingSite

pytestmark = pytest.mark.broker


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Site]:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    with BrokerProcess(state) as broker:
        yield Site(state, broker)


def envelope(message: Incoming) -> Envelope:
    return Envelope(
        site=message.site,
        gateway=message.gateway,
        epoch=message.epoch,
        sequence=message.sequence,
        time=message.t1,
        kind=message.kind,
        body=message.body,
    )


def test_what_a_gateway_sends_is_in_the_twin_at_once(office: Site) -> None:
    living = LivingSite(virtual_site(12, 3), name="office", start=time.time() - 100.0)
    with Serving(office.state) as serving, office.sender() as sender:
        with pytest.raises(Rejected):
            serving.get("sites/office/twin")
        told = Status(site="office", gateway="gw-1", time=time.time(), online=True, epoch=7, address=1)
        sender.tell(told)
        wait_for(lambda: bool(serving.get("gateways")[0]["address"]), "the status")
        sent = [envelope(message) for message in living.live(60.0)]
        sender.deliver(sent)
        wait_for(lambda: updated(serving) == living.now, "the twin")
        living.site.down(7)
        sender.send(*[envelope(message) for message in living.live(10.0)])
        wait_for(lambda: updated(serving) == living.now, "the twin after more")
        twin = serving.get("sites/office/twin")
        assert sorted(twin["relays"]) == sorted(
            a for a, n in living.site.nodes.items() if n.relay and n.alive
        )
        assert twin["vouches"] is False
        past = serving.get("sites/office/twin", t=living.now - 30.0)
        assert past["updated_at"] == living.now - 30.0
        ask_what_if(office.state, twin["doubt"])


def ask_what_if(state: Path, doubt: str) -> None:
    """A twin tells that it is not to be trusted; a share that JSON cannot hold is refused by name."""
    with Client(state / "run" / "coordinator.sock", 120.0) as client:
        answer = client.post("sites/office/whatif", failed=[8])
        assert (answer["vouches"], answer["doubt"]) == (False, doubt)
        with pytest.raises(Rejected, match=r"added\.0\.pdr\.153") as refused:
            client.post("sites/office/whatif", added=[{"address": 200, "pdr": {"153": math.nan}}])
        assert refused.value.reason is RejectReason.INVALID


def updated(serving: Serving) -> float | None:
    try:
        found: float = serving.get("sites/office/twin")["updated_at"]
    except Rejected:
        return None
    return found
