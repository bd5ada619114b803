"""The order of changes: what adds goes outwards and first, what takes away comes inwards and last."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from common.mesh.configuration import NodeConfiguration, Transmit
from coordinator.recipes.ordering import Stage, distances, present_of, stages, undo_of
from coordinator.recipes.plan import NodeSetting
from coordinator.twin.site_model import SiteConfiguration
from tests.recipes.plans import line


def addresses(found: list[Stage], title: str) -> list[int]:
    return [address for stage in found if stage.title == title for address, _ in stage.changes]


def test_relays_go_on_outwards_before_others_go_off_inwards() -> None:
    model = line(8, relays=frozenset({2, 3, 4}))
    found = stages(model, replace(model.configuration, relays=frozenset({5, 6, 7})))
    assert [stage.title for stage in found] == ["relays on", "relays off"]
    assert addresses(found, "relays on") == [5, 6, 7]
    assert addresses(found, "relays off") == [4, 3, 2]


def test_more_repetitions_come_first_and_outwards_fewer_last_and_inwards() -> None:
    model = line(6)
    more = stages(model, replace(model.configuration, relay_retransmit=Transmit(5, 20), ttl=10))
    assert [stage.title for stage in more] == ["raise TTL and repetitions"]
    assert addresses(more, more[0].title) == [1, 2, 3, 4, 5, 6]
    less = stages(model, replace(model.configuration, relay_retransmit=Transmit(1, 20)))
    assert addresses(less, "lower TTL and repetitions") == [5, 4, 3, 2]


def test_nodes_that_are_so_already_are_left_alone() -> None:
    model = line(5)
    wanted = replace(model.configuration, ttl=9)
    present = {3: NodeConfiguration(3, default_ttl=9)}
    assert addresses(stages(model, wanted, present), "raise TTL and repetitions") == [1, 2, 4, 5]
    assert stages(model, model.configuration) == []


def test_a_gateway_of_several_is_left_to_itself() -> None:
    model = replace(line(6), gateways=(1, 6))
    found = stages(model, replace(model.configuration, ttl=9))
    assert addresses(found, "raise TTL and repetitions") == [2, 5, 3, 4]


configurations = st.builds(
    SiteConfiguration,
    relays=st.frozensets(st.integers(2, 9)),
    ttl=st.integers(2, 20),
    network_transmit=st.builds(Transmit, st.integers(1, 8), st.sampled_from([10, 20, 30])),
    relay_retransmit=st.builds(Transmit, st.integers(1, 8), st.sampled_from([10, 20, 30])),
)


@settings(max_examples=150, deadline=None)
@given(before=configurations, wanted=configurations)
def test_every_plan_leads_where_it_should_never_raises_after_lowering_and_is_undone_by_its_undo(
    before: SiteConfiguration, wanted: SiteConfiguration
) -> None:
    model = line(9).with_configuration(before)
    started = present_of(model, {})
    now, undos = dict(started), []
    order = ["raise TTL and repetitions", "relays on", "relays off", "lower TTL and repetitions"]
    found = stages(model, wanted)
    titles = [stage.title for stage in found]
    assert titles == sorted(titles, key=order.index)
    for stage in found:
        undos.append(undo_of(stage.changes, now))
        for address, change in stage.changes:
            now[address] = NodeSetting.of(address, change).over(now[address])
    for address, node in now.items():
        assert node.relay is (address in wanted.relays)
        assert (node.default_ttl, node.network_transmit) == (wanted.ttl, wanted.network_transmit)
        if address in wanted.relays:
            assert node.relay_retransmit == wanted.relay_retransmit
    for undo in reversed(undos):
        for address, change in undo:
            now[address] = NodeSetting.of(address, change).over(now[address])
    assert now == started


def test_distances_count_hops_over_relays_alone() -> None:
    assert distances(line(6, relays=frozenset({2, 3})), {2, 3}) == {1: 0, 2: 1, 3: 2, 4: 3}
