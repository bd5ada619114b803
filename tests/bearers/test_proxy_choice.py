"""Which proxy is tried, from signal and history alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.bearers.proxy_choice import (
    FIRST_REST_S,
    HALF_LIFE_S,
    LONGEST_REST_S,
    STABLE_S,
    Pauses,
    ProxyHistory,
    Sighting,
    choose,
)
from firmware_bridge.stack.service_data import Identification, ProxyOffer

NETWORK = ProxyOffer(Identification.NETWORK_ID)


def sighting(device: str, rssi: int, address: int | None = None) -> Sighting:
    kind = Identification.NETWORK_ID if address is None else Identification.NODE_IDENTITY
    return Sighting(device, rssi, ProxyOffer(kind, address), 0.0)


NEAR, FAR = sighting("near", -50), sighting("far", -70)


def test_strangers_are_chosen_by_signal() -> None:
    assert choose([FAR, NEAR], ProxyHistory(), 0.0) == NEAR
    assert choose([], ProxyHistory(), 0.0) is None


def test_a_proxy_that_just_failed_is_passed_over_while_there_is_another() -> None:
    history = ProxyHistory()
    history.failed("near", 0.0)
    assert choose([FAR, NEAR], history, 1.0) == FAR
    assert choose([NEAR], history, 1.0) == NEAR
    assert choose([FAR, NEAR], history, FIRST_REST_S) == NEAR


def test_rests_grow_with_failures_in_a_row_up_to_a_limit() -> None:
    history = ProxyHistory()
    for _ in range(40):
        history.failed("near", 0.0)
    assert history.resting("near", LONGEST_REST_S - 1)
    assert not history.resting("near", LONGEST_REST_S)


def test_a_good_connection_makes_the_next_failure_a_first_one_again() -> None:
    history = ProxyHistory()
    for _ in range(5):
        history.failed("near", 0.0)
    history.ended("near", STABLE_S, 100.0)
    assert history.resting("near", 100.0 + FIRST_REST_S - 1)
    assert not history.resting("near", 100.0 + FIRST_REST_S)


def test_a_reliable_weaker_proxy_is_preferred_to_one_that_often_fails() -> None:
    history = ProxyHistory()
    for _ in range(6):
        history.failed("near", 0.0)
        history.ended("far", STABLE_S, 0.0)
    later = LONGEST_REST_S + 1
    assert choose([FAR, NEAR], history, later) == FAR


def test_history_fades() -> None:
    history = ProxyHistory()
    for _ in range(6):
        history.failed("near", 0.0)
    assert history.trust("near", 0.0) < 0.2
    assert 0.45 < history.trust("near", 8 * HALF_LIFE_S) <= 0.5
    assert choose([FAR, NEAR], history, 8 * HALF_LIFE_S) == NEAR


def test_a_node_that_says_who_it_is_keeps_its_history_under_a_new_address() -> None:
    history = ProxyHistory()
    history.failed(sighting("one", -50, 5).who, 0.0)
    assert history.resting(sighting("two", -50, 5).who, 1.0)


def test_made_up_addresses_do_not_fill_the_memory() -> None:
    history = ProxyHistory(most=10)
    history.failed("kept", 0.0)
    for number in range(100):
        history.failed(f"stranger {number}", 1.0)
        history.failed("kept", 1.0)
    assert len(history) == 10
    assert history.resting("kept", 2.0)


@given(st.lists(st.tuples(st.text("abc", max_size=2), st.integers(-127, 20)), min_size=1))
def test_the_choice_does_not_depend_on_the_order_of_what_was_heard(heard: list[tuple[str, int]]) -> None:
    sightings = [sighting(device, rssi) for device, rssi in heard]
    assert choose(sightings, ProxyHistory(), 0.0) == choose(sightings[::-1], ProxyHistory(), 0.0)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_stay_within_their_limits(attempts: int, draw: float) -> None:
    pauses = Pauses(0.5, 30.0)
    assert 0.25 <= pauses.after(attempts, draw) <= 30.0
    assert pauses.after(attempts, draw) <= pauses.after(attempts + 1, draw)
