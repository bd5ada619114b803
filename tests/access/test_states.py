"""What states mean beyond their bytes: durations, lightness, SAR timing, and rules between fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected
from firmware_bridge.access import intervals, sar_configuration
from firmware_bridge.access.config_keys import IdentityState, NodeIdentitySet
from firmware_bridge.access.config_models import ModelSubscriptionAdd, SigModelAppGet
from firmware_bridge.access.config_publication import ModelPublicationSet, ModelPublicationStatus, Publication
from firmware_bridge.access.config_state import FeatureState, GattProxySet, LowPowerPollTimeoutStatus
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.generic_level import LevelSet
from firmware_bridge.access.generic_onoff import OnOffSet
from firmware_bridge.access.health import PeriodSet
from firmware_bridge.access.light_lightness import LightnessRangeSet, actual_of, linear_of
from tests.access.every_message import unhurried


@pytest.mark.parametrize(
    ("octet", "duration_ms"),
    [(0x00, 0), (0x01, 100), (0x3E, 6_200), (0x41, 1_000), (0x8A, 100_000), (0xC1, 600_000)],
)
def test_a_duration_is_steps_of_one_of_four_lengths(octet: int, duration_ms: int) -> None:
    assert intervals.milliseconds(octet) == intervals.transition_ms(octet) == duration_ms


def test_a_transition_of_all_steps_takes_a_time_that_is_not_known() -> None:
    assert intervals.transition_ms(0x3F) is None
    assert intervals.milliseconds(0x3F) == 6_300


@given(st.integers(0, 62 * 600_000))
@unhurried
def test_the_duration_that_is_sent_is_never_shorter_and_at_most_a_step_longer(duration_ms: int) -> None:
    octet = intervals.octet_of(duration_ms)
    step = intervals.STEPS_MS[octet >> 6]
    assert 0 <= intervals.milliseconds(octet) - duration_ms < step


@pytest.mark.parametrize("duration_ms", [-1, 62 * 600_000 + 1])
def test_a_duration_that_does_not_fit_is_refused(duration_ms: int) -> None:
    with pytest.raises(Rejected):
        intervals.octet_of(duration_ms)


@given(st.integers(0, 0xFFFF))
@unhurried
def test_a_light_that_is_on_stays_on_in_either_scale(lightness: int) -> None:
    assert (linear_of(lightness) == 0) == (actual_of(lightness) == 0) == (lightness == 0)
    # Steps of linear light are coarse where it is dim.
    assert actual_of(linear_of(lightness)) >= lightness


@pytest.mark.parametrize(("actual", "linear"), [(1, 1), (0x8000, 0x4001), (0xFFFF, 0xFFFF)])
def test_linear_light_is_the_square_of_what_people_see(actual: int, linear: int) -> None:
    assert linear_of(actual) == linear


def test_sar_states_are_read_in_seconds() -> None:
    sent = sar_configuration.SarTransmitterStatus(5, 2, 2, 7, 1, 2, 9)
    assert (sent.segment_interval_s, sent.unicast_interval_s) == (0.06, 0.2)
    assert (sent.unicast_interval_per_hop_s, sent.multicast_interval_s) == (0.05, 0.25)
    received = sar_configuration.SarReceiverStatus(3, 1, 1, 5, 0)
    assert (received.delay_increment, received.discard_s, received.segment_interval_s) == (2.5, 10.0, 0.06)


LAMP = ModelId(0x1000)
VENDOR = ModelId(0x0001, 0x0059)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (GattProxySet, (FeatureState.UNSUPPORTED,)),
        (NodeIdentitySet, (0, IdentityState.UNSUPPORTED)),
        (LowPowerPollTimeoutStatus, (1, 9)),
        (ModelSubscriptionAdd, (1, 0x8001, LAMP)),
        (ModelSubscriptionAdd, (1, 0x0001, LAMP)),
        (SigModelAppGet, (1, VENDOR)),
        (ModelPublicationSet, (Publication(1, 0x8001, LAMP),)),
        (OnOffSet, (True, 0, 0x3F)),
        (LevelSet, (0x8000, 0)),
        (PeriodSet, (16,)),
        (LightnessRangeSet, (0, 10)),
        (LightnessRangeSet, (20, 10)),
    ],
)
def test_what_is_prohibited_cannot_be_built(kind: type[Any], fields: tuple[Any, ...]) -> None:
    with pytest.raises(Rejected):
        kind(*fields)


def test_a_node_may_say_that_it_publishes_to_a_virtual_address() -> None:
    status = ModelPublicationStatus(0, Publication(1, 0x8001, LAMP))
    assert ModelPublicationStatus.parse(status.parameters()) == status
