"""The simulated site as a state machine: monitoring, configuration and faults travel over lossy floods."""

from __future__ import annotations

from collections import Counter

from common.mesh.configuration import Transmit
from common.scenario import Flow, Node, Scenario
from firmware_bridge.access import catalogue
from firmware_bridge.access.config_state import RelaySet, RelayState, RelayStatus
from firmware_bridge.access.generic_onoff import OnOffSet, OnOffStatus
from firmware_bridge.access.link_monitor import (
    MONITOR_PROBES,
    Lost,
    MonitorSet,
    MonitorStatus,
    Report,
    ReportPair,
    ReportRssi,
    Restart,
)
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.virtual.site import Packet, VirtualSite

PROBING = MonitorStatus(period_units=10, report_every=5, transmissions=2)


class Listener:
    """A gateway that keeps what it receives."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.power: list[bool] = []

    def received(self, packet: Packet) -> None:
        self.packets.append(packet)

    def powered(self, alive: bool) -> None:
        self.power.append(alive)

    def messages(self) -> list[tuple[int, AccessMessage | Opaque]]:
        return [(p.source, catalogue.parse(p.payload)) for p in self.packets if p.payload is not None]


def square(pdr: float = 1.0, **more: object) -> tuple[VirtualSite, Listener]:
    """1 (gateway) – 2 – 4 and 1 – 3 – 4, where 2 relays."""
    pairs = [(1, 2), (2, 4), (1, 3), (3, 4)]
    links = {key: pdr for a, b in pairs for key in ((a, b), (b, a))}
    site = VirtualSite(links, relays=[2], monitor=PROBING, gateways=[1], **more)  # type: ignore[arg-type]
    listener = Listener()
    site.attach(1, listener)
    return site, listener


def losses(listener: Listener, transmitter: int) -> list[tuple[float, int]]:
    found = [(p.t, p.source, catalogue.parse(p.payload)) for p in listener.packets if p.payload is not None]
    return [(t, source) for t, source, m in found if isinstance(m, Lost) and m.transmitter == transmitter]


def test_every_node_reports_its_neighbours_to_the_gateway() -> None:
    site, listener = square()
    site.advance(30.0)
    heard = {
        (entry.transmitter, source)
        for source, message in listener.messages()
        if isinstance(message, Report | ReportRssi | ReportPair)
        for entry in message.entries
        if entry.heard == entry.expected > 0
    }
    assert heard == {(a, b) for a, b, _ in site.links}


def test_reports_tell_the_links_losses() -> None:
    site, listener = square(pdr=0.6)
    site.advance(2000.0)
    heard: Counter[tuple[int, int]] = Counter()
    expected: Counter[tuple[int, int]] = Counter()
    for source, message in listener.messages():
        for entry in message.entries if isinstance(message, Report | ReportRssi | ReportPair) else ():
            heard[entry.transmitter, source] += entry.heard
            expected[entry.transmitter, source] += entry.expected
    for key, count in expected.items():
        assert count > 500
        assert abs(heard[key] / count - (1 - 0.4**2)) < 0.06


def test_a_death_is_told_by_those_who_heard_the_node_within_one_and_a_half_periods() -> None:
    site, listener = square()
    site.advance(60.0)
    site.down(2)
    site.advance(64.0)
    told = losses(listener, 2)
    # 4 is cut off: only the gateway itself can tell. Once, and once more.
    assert [source for _, source in told] == [1, 1]
    assert 0.4 < told[0][0] - 60.0 < 1.5
    assert 0.1 < told[1][0] - told[0][0] < 0.5


def test_a_loss_travels_over_the_way_that_is_left() -> None:
    site, listener = square()
    site.nodes[3].relay = True
    site.advance(60.0)
    site.down(2)
    site.advance(64.0)
    assert {source for _, source in losses(listener, 2)} == {1, 4}


def test_without_faults_and_loss_nobody_is_lost() -> None:
    site, listener = square()
    site.advance(600.0)
    assert not [m for _, m in listener.messages() if isinstance(m, Lost)]


def test_a_node_that_returns_is_counted_anew_and_can_be_lost_again() -> None:
    site, listener = square()
    for death in (60.0, 200.0):
        site.advance(death)
        site.down(2)
        site.advance(death + 50.0)
        site.up(2)
    site.advance(300.0)
    assert [round(t / 100) for t, _ in losses(listener, 2)] == [1, 1, 2, 2]


def relay(on: bool) -> bytes:
    return build(RelaySet(RelayState(int(on)), Transmit(2, 20)))


def test_a_relay_is_switched_only_by_a_message_that_arrives() -> None:
    site, listener = square()
    site.down(2)
    site.send(1, 4, relay(True), device_key=True)
    site.advance(1.0)
    assert not site.nodes[4].relay
    site.send(1, 3, relay(True), device_key=True)
    assert not site.nodes[3].relay
    site.advance(2.0)
    assert site.nodes[3].relay
    site.send(1, 4, relay(True), device_key=True)
    site.advance(3.0)
    assert site.nodes[4].relay
    assert [s for s, m in listener.messages() if isinstance(m, RelayStatus)] == [3, 4]


def test_an_answer_can_be_lost_on_its_way_back() -> None:
    site, listener = square()
    site.links.set(4, 2, 0.0)
    site.send(1, 4, relay(True), device_key=True)
    site.advance(1.0)
    assert site.nodes[4].relay
    assert not listener.messages()


def test_configuration_needs_the_device_key() -> None:
    site, _ = square()
    site.send(1, 3, relay(True))
    site.advance(1.0)
    assert not site.nodes[3].relay


def test_lamps_answer_and_switch() -> None:
    site, listener = square()
    site.send(1, 4, build(OnOffSet(True, 1)))
    site.advance(1.0)
    assert site.nodes[4].on
    assert (4, OnOffStatus(True)) in listener.messages()


def test_a_malformed_message_is_ignored() -> None:
    site, _ = square()
    site.send(1, 2, b"\x82\x02\x07")
    site.advance(1.0)
    assert site.nodes[2].alive


def test_a_restart_is_a_short_death_that_a_repeated_message_does_not_repeat() -> None:
    site, _ = square()
    for _ in range(2):
        site.send(1, 2, build(Restart(7)))
    site.advance(0.5)
    assert not site.nodes[2].alive
    site.advance(3.0)
    assert site.nodes[2].alive
    assert site.nodes[2].deaths == 1


def test_who_is_killed_during_a_restart_stays_dead() -> None:
    site, _ = square()
    site.send(1, 2, build(Restart(7)))
    site.advance(0.5)
    site.down(2)
    site.advance(10.0)
    assert not site.nodes[2].alive


def test_monitoring_is_adapted_and_switched_off_by_message() -> None:
    site, listener = square()
    site.advance(20.0)
    for node in (2, 3, 4):
        site.send(1, node, build(MonitorSet(0, 5, 1)))
    site.advance(25.0)
    listener.packets.clear()
    site.advance(100.0)
    assert {source for source, _ in listener.messages()} <= {1}
    assert not [m for _, m in listener.messages() if isinstance(m, Lost)]
    site.send(1, 3, build(MonitorSet(5, 5, 1)))
    site.advance(200.0)
    assert any(
        entry.transmitter == 3
        for source, message in listener.messages()
        if source == 1 and isinstance(message, Report | ReportRssi | ReportPair)
        for entry in message.entries
    )


def test_settings_come_to_all_by_group_and_do_not_survive_a_restart() -> None:
    site, listener = square()
    site.nodes[3].relay = True
    slower = MonitorSet(20, 10, 1)
    site.send(1, MONITOR_PROBES, build(slower))
    site.advance(1.0)
    assert {build(node.monitor) for node in site.nodes.values()} == {build(MonitorStatus(20, 10, 1))}
    assert not [m for _, m in listener.messages() if isinstance(m, MonitorStatus)]
    site.down(2)
    site.up(2)
    assert site.nodes[2].monitor == PROBING


def test_nodes_without_the_link_monitor_send_heartbeats() -> None:
    site, listener = square(without_monitor=[4])
    site.advance(60.0)
    beats = [p for p in listener.packets if p.payload is None]
    assert len(beats) >= 5
    assert {(p.source, p.hops) for p in beats} == {(4, 2)}
    assert not [source for source, _ in listener.messages() if source == 4]


def test_the_gateways_own_death_is_told_to_it() -> None:
    site, listener = square()
    site.down(1)
    site.up(1)
    assert listener.power == [False, True]


def test_the_same_seed_gives_the_same_history() -> None:
    histories = []
    for _ in range(2):
        site, listener = square(pdr=0.7, seed=5, drift=0.5)
        site.after(50.0, site.down, 3)
        site.advance(300.0)
        histories.append([(p.t, p.source, p.payload) for p in listener.packets])
    assert histories[0] == histories[1]
    assert len(histories[0]) > 100


def test_time_in_small_steps_is_time_in_one_step() -> None:
    histories = []
    for step in (0.01, 50.0):
        site, listener = square(pdr=0.7)
        t = 0.0
        while t < 50.0:
            t += step
            site.advance(min(t, 50.0))
        histories.append([(p.t, p.source, p.payload) for p in listener.packets])
    assert histories[0] == histories[1]


def test_a_scenario_brings_its_relays_failures_groups_and_flows() -> None:
    scenario = Scenario(
        nodes=[Node(address=1), Node(address=2, x=30, relay=True), Node(address=3, x=60)],
        links=[(1, 2, 80.0), (2, 1, 80.0), (2, 3, 80.0), (3, 2, 80.0)],
        flows=[
            Flow.model_validate(
                {"source": 3, "destination": 0xC000, "period_s": 1, "payload_bytes": 5, "acknowledged": False}
            )
        ],
        groups={0xC000: [1]},
        failures=[(30.0, 2, "down"), (60.0, 2, "up")],
    )
    site, listener = VirtualSite.from_scenario(scenario, gateways=[1], drift=0.0), Listener()
    site.attach(1, listener)
    site.advance(90.0)
    times = [p.t for p in listener.packets if p.source == 3 and p.destination == 0xC000]
    assert len([t for t in times if t < 30]) > 25
    assert not [t for t in times if 30.1 < t < 60]
    assert len([t for t in times if t > 60]) > 25
    delivery = site.traffic.deliveries[3, 0xC000]
    assert delivery.delivered == len(times) < delivery.sent


def test_an_acknowledged_flow_is_answered() -> None:
    flow = Flow(source=1, destination=2, period_s=1, acknowledged=True, response_bytes=4)
    scenario = Scenario(nodes=[Node(address=1), Node(address=2, x=5)], flows=[flow])
    site, listener = VirtualSite.from_scenario(scenario, gateways=[1]), Listener()
    site.attach(1, listener)
    site.advance(20.0)
    answers = [p for p in listener.packets if p.source == 2 and p.destination == 1]
    assert len(answers) > 15
    assert all(p.payload is not None and len(p.payload) == 4 for p in answers)
