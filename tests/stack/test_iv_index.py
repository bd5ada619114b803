"""IV update and recovery where it is easy to get wrong (3.11.5, 3.11.6)."""

from __future__ import annotations

import pytest

from common.errors import Rejected, Unavailable
from firmware_bridge.stack import beacons, network
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.events import IvIndexChanged
from firmware_bridge.stack.iv_index import HOUR_S, LEAST_RECOVERY_S, LEAST_STATE_S, Change, IvState
from firmware_bridge.stack.network import MAX_IV_INDEX
from firmware_bridge.stack.node import StackNode
from tests.stack.wire import IV, Disk, node, opened, sealed

LATER = 2 * LEAST_STATE_S


def tell(one: StackNode, index: int, updating: bool, wall: float, net_index: int = 0) -> list[Change]:
    beacon = beacons.build_secure(NetworkBeacon(index, updating), one.keyring.transmit_key(net_index))
    return [event.change for event in one.beacon(beacon, wall) if isinstance(event, IvIndexChanged)]


def test_an_update_that_begins_too_early_is_no_recovery_either() -> None:
    state = IvState(7, since=1000.0)
    assert state.heard(8, True, 1000.0 + LEAST_STATE_S - 1) == (state, Change.NONE)
    assert state.heard(8, True, 1000.0 + LEAST_STATE_S)[1] is Change.UPDATE_BEGAN


@pytest.mark.parametrize(
    ("ahead", "change"), [(1, Change.RECOVERED), (42, Change.RECOVERED), (43, Change.NONE)]
)
def test_a_node_that_was_away_catches_up_by_42_at_most(ahead: int, change: Change) -> None:
    assert IvState(7, since=0.0).heard(7 + ahead, False, 10.0)[1] is change


def test_a_node_that_missed_the_end_of_an_update_and_the_next_begin_recovers() -> None:
    state, change = IvState(7, updating=True, since=0.0).heard(8, True, LATER)
    assert (change, state.index, state.transmit) == (Change.RECOVERED, 8, 7)


def test_an_older_index_is_never_believed() -> None:
    state = IvState(7)
    assert all(
        state.heard(index, flag, 1e9) == (state, Change.NONE) for index in range(7) for flag in (False, True)
    )


def test_after_a_recovery_the_96_hours_do_not_hold_but_the_192_do() -> None:
    state, change = IvState(7, since=0.0).heard(20, True, 1000.0)
    assert change is Change.RECOVERED
    state, change = state.heard(20, False, 1001.0)
    assert change is Change.UPDATE_ENDED
    assert state.heard(40, False, 1000.0 + LEAST_RECOVERY_S - 1)[1] is Change.NONE
    assert state.heard(40, False, 1000.0 + LEAST_RECOVERY_S)[1] is Change.RECOVERED


def test_a_clock_that_was_wrong_does_not_forbid_recovery_for_years() -> None:
    state, _ = IvState(7).heard(20, False, 4e9)
    assert state.heard(30, False, 2e9)[1] is Change.RECOVERED


def test_a_hostile_beacon_moves_the_index_by_42_in_192_hours_and_uses_no_numbers_up() -> None:
    one = node(1)
    for step in range(1000):
        tell(one, one.iv.index + 42, False, LATER + step)
        tell(one, one.iv.index + 1, True, LATER + step)
        tell(one, one.iv.index, False, LATER + step)
        tell(one, MAX_IV_INDEX, False, LATER + step)
    assert one.iv.index <= IV + 42 + 1
    assert one.sequence.next == 0


def test_a_secondary_subnet_does_not_move_the_network_on() -> None:
    one = node(1)
    assert tell(one, IV + 1, True, LATER, net_index=1) == []
    assert tell(one, IV + 1, True, LATER) == [Change.UPDATE_BEGAN]
    assert tell(one, IV + 1, False, 2 * LATER, net_index=1) == [Change.UPDATE_ENDED]


def test_a_node_of_a_secondary_subnet_alone_follows_that() -> None:
    one = node(1)
    del one.keyring.subnets[0]
    assert tell(one, IV + 1, True, LATER, net_index=1) == [Change.UPDATE_BEGAN]


def test_during_an_update_both_indices_are_heard_and_the_old_one_sends() -> None:
    one = node(1)
    tell(one, IV + 1, True, LATER)
    one.send(0x10, b"\x82\x01", 0.0, application=0)
    (data,) = one.outgoing()
    assert opened(one, data, IV).source == 1
    heartbeat = bytes.fromhex("0a030000")
    assert one.receive(sealed(one, heartbeat, 1, is_control=True, iv_index=IV), 0.0)
    assert one.receive(sealed(one, heartbeat, 1, is_control=True, iv_index=IV + 1), 0.0)
    assert one.receive(sealed(one, heartbeat, 2, is_control=True, iv_index=IV), 0.0) == []


def test_an_update_waits_for_the_end_of_segmented_messages() -> None:
    one = node(1)
    tell(one, IV + 1, True, LATER)
    one.send(0x10, bytes(100), 0.0, application=0)
    assert tell(one, IV + 1, False, 2 * LATER) == []
    one.poll(100.0)
    while (at := one.next_time()) is not None:
        one.poll(at)
    assert tell(one, IV + 1, False, 2 * LATER) == [Change.UPDATE_ENDED]


def test_a_node_whose_numbers_run_out_leads_the_network_through_an_update() -> None:
    disk = Disk()
    disk.limit = 0xC0_0000
    one, two = node(1, disk), node(0x10)
    assert one.sequence.wants_update
    assert [e.change for e in one.begin_iv_update(LATER) if isinstance(e, IvIndexChanged)] == [
        Change.UPDATE_BEGAN
    ]
    assert one.begin_iv_update(LATER + 1) == []
    assert [e.change for e in two.beacon(one.own_beacon(), LATER) if isinstance(e, IvIndexChanged)] == [
        Change.UPDATE_BEGAN
    ]
    assert one.end_iv_update(LATER + 95 * HOUR_S) == []
    assert one.end_iv_update(LATER + 96 * HOUR_S) == [IvIndexChanged(IV + 1, Change.UPDATE_ENDED)]
    assert (disk.iv.index, disk.iv.updating, disk.limit, one.sequence.next) == (IV + 1, False, 0, 0)
    assert two.beacon(one.own_beacon(), LATER + 96 * HOUR_S) == [IvIndexChanged(IV + 1, Change.UPDATE_ENDED)]


def test_the_last_index_of_all_has_no_update() -> None:
    assert IvState(MAX_IV_INDEX).begin_update(1e9) is None


def test_nothing_is_from_before_the_first_index() -> None:
    one = node(1, Disk(IvState(0)))
    with pytest.raises(Rejected):
        network.receive_iv_index(b"\x80", 0)
    assert (
        one.receive(sealed(one, bytes.fromhex("0a030000"), 1, is_control=True, iv_index=MAX_IV_INDEX), 0)
        == []
    )
    assert len(one.replay) == 0


def test_an_index_that_cannot_be_saved_is_not_used() -> None:
    one = node(1)

    def full(iv: IvState, limit: int) -> None:
        raise Unavailable("the disk is full")

    one._save = full
    with pytest.raises(Unavailable):
        tell(one, IV + 3, False, LATER)
    assert one.iv == IvState(IV)


def fresh() -> StackNode:
    return node(1, Disk(IvState.unknown()))


@pytest.mark.parametrize("index", [0, 7, MAX_IV_INDEX])
def test_the_first_beacon_of_the_primary_subnet_is_taken_as_it_is(index: int) -> None:
    one = fresh()
    one.sequence.take(300)
    assert tell(one, index, False, LATER) == [Change.LEARNED]
    assert (one.iv.index, one.iv.known) == (index, True)
    # Numbers were used under an assumed index: they go on.
    assert one.sequence.next == 300


def test_a_secondary_key_does_not_teach_a_fresh_node_the_iv_index() -> None:
    one = fresh()
    assert tell(one, MAX_IV_INDEX, False, LATER, net_index=1) == []
    assert not one.iv.known
    assert one.ignored_beacons.total() == 1
    assert tell(one, IV, False, LATER) == [Change.LEARNED]


def test_a_node_with_a_secondary_key_alone_learns_from_that() -> None:
    one = fresh()
    del one.keyring.subnets[0]
    assert tell(one, IV, False, LATER, net_index=1) == [Change.LEARNED]


def test_a_node_that_comes_during_an_update_does_not_end_it_itself() -> None:
    one = fresh()
    tell(one, IV, True, LATER)
    assert (one.iv.index, one.iv.transmit) == (IV, IV - 1)
    assert one.end_iv_update(LATER + LEAST_STATE_S - 1) == []
    assert one.end_iv_update(LATER + LEAST_STATE_S) != []


def test_a_node_that_comes_during_an_update_follows_its_end_at_once() -> None:
    one = fresh()
    tell(one, IV, True, LATER)
    assert tell(one, IV, False, LATER + 1) == [Change.UPDATE_ENDED]
    # From here on it knows how long the network has been in its state.
    assert tell(one, IV + 1, True, LATER + 2) == []


def test_after_a_recovery_into_an_update_nobody_here_ends_it_early() -> None:
    one = node(1)
    assert tell(one, IV + 20, True, LATER) == [Change.RECOVERED]
    assert one.end_iv_update(LATER + 10) == []
    assert tell(one, IV + 20, False, LATER + 20) == [Change.UPDATE_ENDED]


def test_nothing_is_begun_in_a_network_that_nobody_told_us_of() -> None:
    assert IvState.unknown().begin_update(1e9) is None
    assert IvState.unknown().end_update(1e9) is None


def test_authentic_beacons_that_are_not_believed_are_counted() -> None:
    one = node(1)
    for index in (IV - 1, IV - 2, IV + 43, IV, IV + 1):
        tell(one, index, False, 0.0)
    assert one.ignored_beacons == {-1: 2, 1: 1}
    assert one.iv.index == IV + 1
