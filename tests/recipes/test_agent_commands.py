"""A gateway that is ordered about: each order once, undone where it harms, a stranger's never."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.clock import ManualClock
from common.codec import unpack
from common.commands import NodeChange
from common.errors import Rejected, RejectReason
from common.messages import encode
from tests.healing.gateways import running_gateways
from tests.healing.test_healing import LEARNING_S, site
from tests.recipes.orders import last_result, order, probe, results, send

SETTLED_S = 20.0


async def test_an_order_changes_nodes_in_its_order_and_tells_when_its_effect_is_seen(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        command = order(
            clock, 1, NodeChange(address=5, relay=True), NodeChange(address=3, relay_retransmit=[4, 20])
        )
        send(gateways["gw-1"], command)
        result = await last_result(gateways["gw-1"], clock, command)
        assert (result.state, result.kind) == ("done", "configure")
        assert mesh.nodes[5].relay
        assert mesh.nodes[3].relay_retransmit.count == 4
        (story,) = {action.id for action in gateways["gw-1"].stream.actions()}
        assert story == "command-c-1"


async def test_a_repeated_order_is_not_carried_out_again_and_its_result_is_told_again(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        gateway = gateways["gw-1"]
        await clock.advance(LEARNING_S)
        command = order(clock, 1, NodeChange(address=5, relay=True))
        for _ in range(3):
            send(gateway, command)
        await last_result(gateway, clock, command)
        mesh.nodes[5].relay = False
        for _ in range(3):
            await clock.advance(2.0)
            send(gateway, command)
        await clock.advance(SETTLED_S)
        assert not mesh.nodes[5].relay
        assert gateway.stream.states().count("applying") == 1
        assert [result.state for result in results(gateway)] == ["done"] * 4


async def test_an_order_that_cuts_a_node_off_is_put_back(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}, delivery_need=0.1) as gateways:
        await clock.advance(LEARNING_S)
        # Without relay 2, nobody but 5 hears gateway 1, and 5 does not relay.
        command = order(clock, 1, NodeChange(address=2, relay=False), nodes=[3, 4, 6], window_s=4.0)
        send(gateways["gw-1"], command)
        result = await last_result(gateways["gw-1"], clock, command)
        assert result.state == "undone"
        assert "0 of 3 nodes answer" in result.detail
        assert mesh.nodes[2].relay


async def test_a_node_that_refuses_ends_the_order_and_the_others_are_put_back(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        mesh.nodes[6].relay_supported = False
        command = order(clock, 1, NodeChange(address=5, relay=True), NodeChange(address=6, relay=True))
        send(gateways["gw-1"], command)
        result = await last_result(gateways["gw-1"], clock, command)
        assert result.state == "failed"
        assert not mesh.nodes[5].relay


async def test_a_gateway_that_does_not_act_refuses_and_names_the_one_that_does(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        command = order(clock, 1, NodeChange(address=5, relay=True))
        send(gateways["gw-2"], command)
        result = await last_result(gateways["gw-2"], clock, command)
        assert (result.state, result.acting) == ("refused", "gw-1")
        assert not mesh.nodes[5].relay


async def test_an_expired_order_is_answered_and_not_carried_out(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        command = order(clock, 1, NodeChange(address=5, relay=True), life_s=5.0)
        await clock.advance(10.0)
        send(gateways["gw-1"], command)
        assert (await last_result(gateways["gw-1"], clock, command)).state == "expired"
        assert not mesh.nodes[5].relay


async def test_a_gateway_killed_in_the_middle_puts_back_says_so_and_does_not_begin_again(
    tmp_path: Path,
) -> None:
    clock, mesh = ManualClock(), site()
    command = None
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        command = order(clock, 1, NodeChange(address=5, relay=True), nodes=[4], window_s=60.0, life_s=600.0)
        mesh.down(4)
        send(gateways["gw-1"], command)
        for _ in range(20):
            await clock.advance(1.0)
            if mesh.nodes[5].relay:
                break
        assert mesh.nodes[5].relay
        assert results(gateways["gw-1"]) == []
    mesh.up(4)
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        gateway = gateways["gw-1"]
        send(gateway, command)
        result = await last_result(gateway, clock, command)
        assert result.state == "interrupted"
        assert not mesh.nodes[5].relay
        for _ in range(3):
            await clock.advance(2.0)
            send(gateway, command)
        await clock.advance(SETTLED_S)
        assert {result.state for result in results(gateway)} == {"interrupted"}
        assert not mesh.nodes[5].relay
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        send(gateways["gw-1"], command)
        assert (await last_result(gateways["gw-1"], clock, command)).state == "interrupted"


async def test_a_probe_counts_answers_and_changes_nothing(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site(pdr=1.0)
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        mesh.down(4)
        command = probe(clock, 1, [3, 4], times=5)
        send(gateways["gw-1"], command)
        result = await last_result(gateways["gw-1"], clock, command)
        counts = {answers.address: (answers.asked, answers.answered) for answers in result.answers}
        assert counts == {3: (5, 5), 4: (5, 0)}
        assert result.answers[0].mean_ms is not None
        assert result.answers[0].mean_ms > 0


@pytest.mark.parametrize(("away_s", "state"), [(2.0, "done"), (600.0, "failed")])
async def test_a_probe_waits_a_little_for_the_link_and_never_takes_its_absence_for_silence(
    tmp_path: Path, away_s: float, state: str
) -> None:
    clock, mesh = ManualClock(), site(pdr=1.0)
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        mesh.down(1)
        command = probe(clock, 1, [3, 4], times=5)
        send(gateways["gw-1"], command)
        await clock.advance(min(away_s, 20.0))
        mesh.up(1)
        result = await last_result(gateways["gw-1"], clock, command)
        assert result.state == state
        counts = [(answers.asked, answers.answered) for answers in result.answers]
        assert counts == ([(5, 5), (5, 5)] if state == "done" else [])
        assert state == "done" or "the mesh is down" in result.detail


async def test_orders_from_before_a_lost_record_are_refused(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    old = order(clock, 1, NodeChange(address=5, relay=True), life_s=3600.0)
    (tmp_path / "gw-1").mkdir()
    (tmp_path / "gw-1" / "commands.json").write_text("cut off in the mid")
    await clock.advance(1.0)
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        gateway = gateways["gw-1"]
        assert "state-lost" in gateway.stream.events()
        await clock.advance(LEARNING_S)
        send(gateway, old)
        assert (await last_result(gateway, clock, old)).state == "refused"
        fresh = order(clock, 2, NodeChange(address=5, relay=True))
        send(gateway, fresh)
        assert (await last_result(gateway, clock, fresh)).state == "done"


async def test_dry_run_takes_no_orders(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}, dry_run=True) as gateways:
        await clock.advance(LEARNING_S)
        command = order(clock, 1, NodeChange(address=5, relay=True))
        send(gateways["gw-1"], command)
        assert (await last_result(gateways["gw-1"], clock, command)).state == "refused"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "node-reset"}, RejectReason.INVALID),
        ({"steps": []}, RejectReason.INVALID),
        ({"steps": [{"address": 5}]}, RejectReason.INVALID),
        ({"steps": [{"address": 0xC000, "relay": True}]}, RejectReason.INVALID),
        ({"steps": [{"address": 5, "relay": 1}]}, RejectReason.INVALID),
        ({"steps": [{"address": 5, "default_ttl": 1}]}, RejectReason.OUT_OF_RANGE),
        ({"steps": [{"address": 5, "relay_retransmit": [9, 20]}]}, RejectReason.OUT_OF_RANGE),
        ({"steps": [{"address": 5, "relay": True}] * 300}, RejectReason.INVALID),
        ({"id": "../x"}, RejectReason.INVALID),
        ({"expires": 1e11}, RejectReason.OUT_OF_RANGE),
        ({"expires": float("nan")}, RejectReason.INVALID),
        ({"window_s": 1e9}, RejectReason.INVALID),
        ({"v": 2}, RejectReason.FOREIGN_VERSION),
    ],
)
async def test_what_is_no_order_is_rejected_by_name(
    tmp_path: Path, changed: dict[str, object], reason: RejectReason
) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        plain = unpack(encode(order(clock, 1, NodeChange(address=5, relay=True))))
        assert isinstance(plain, dict)
        with pytest.raises(Rejected) as refused:
            gateways["gw-1"].agent.commands.take({**plain, **changed})
        assert refused.value.reason is reason
