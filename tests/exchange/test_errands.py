"""A task runs on another machine once, and its result comes home once, whatever the wire does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from common.exchange import asking
from common.exchange.messages import PIECE_BYTES, Done, Offer, Party, Piece, Want, encode_letter
from common.taskgraph.executor import MachineLost, Refusal, Refused
from common.taskgraph.wire import FailureReason
from common.topics import Channel
from tests.exchange.wired import ASKER, HOST, LIMITS, Pair, losing, machine, pair

DATA = bytes(range(256)) * 1500  # twelve pieces


@pytest.fixture
async def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(asking, "ASK_AGAIN_S", 0.05)
    monkeypatch.setattr(asking, "SILENT_S", 0.5)
    async with pair(tmp_path) as made:
        yield made


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def until_begun(two: Pair, count: int = 1) -> None:
    await eventually(lambda: two.host.runner.begun >= count)


async def test_inputs_go_out_outputs_come_home_and_the_host_lets_go(two: Pair) -> None:
    result = await two.run(two.request(DATA))
    assert two.asker.store.get(result.outputs["data"]) == DATA * 2
    assert result.machine == HOST.name
    await asyncio.sleep(0.01)
    assert list(two.host.exchange.host.errands()) == []


async def test_blobs_that_are_there_do_not_travel(two: Pair) -> None:
    await two.run(two.request(DATA))
    before = two.wire.bytes
    await two.run(two.request(DATA, task="again"))
    assert two.wire.bytes - before < PIECE_BYTES


@pytest.mark.parametrize("seed", range(4))
async def test_letters_that_are_lost_or_doubled_cost_time_and_nothing_else(two: Pair, seed: int) -> None:
    two.wire.mangle = losing(seed, 0.1)
    results = await asyncio.gather(*(two.run(two.request(DATA + bytes([n]), task=f"t{n}")) for n in range(4)))
    assert [two.asker.store.get(r.outputs["data"]) for r in results] == [
        (DATA + bytes([n])) * 2 for n in range(4)
    ]
    assert two.host.runner.begun == 4


async def test_a_connection_that_is_lost_in_the_midst_is_waited_for(two: Pair) -> None:
    two.host.runner.gate.clear()
    running = asyncio.ensure_future(two.run(two.request(DATA)))
    await until_begun(two)
    two.wire.cut = True
    two.host.runner.gate.set()
    await asyncio.sleep(0.15)
    two.wire.cut = False
    assert two.asker.store.get((await running).outputs["data"]) == DATA * 2
    assert two.host.runner.begun == 1


async def test_a_refusal_carries_its_reason_and_no_blob_travels(two: Pair) -> None:
    two.host.runner.refusal = Refused(Refusal.CPU, "98 % busy")
    with pytest.raises(Refused, match="gw-b: 98 % busy") as caught:
        await two.run(two.request(DATA))
    assert caught.value.reason is Refusal.CPU
    assert two.wire.bytes < PIECE_BYTES
    assert two.host.exchange.host.refused == {"cpu": 1}


async def test_a_host_whose_status_goes_has_lost_the_task(two: Pair) -> None:
    two.host.runner.gate.clear()
    running = asyncio.ensure_future(two.run(two.request(DATA)))
    await until_begun(two)
    two.live = False
    with pytest.raises(MachineLost, match="gone"):
        await running


async def test_a_host_that_says_nothing_has_lost_the_task(two: Pair) -> None:
    two.wire.cut = True
    with pytest.raises(MachineLost, match="does not answer"):
        await two.run(two.request(DATA))


async def test_a_host_that_began_another_life_has_lost_the_task(two: Pair, tmp_path: Path) -> None:
    two.host.runner.gate.clear()
    running = asyncio.ensure_future(two.run(two.request(DATA)))
    await until_begun(two)
    second = machine(tmp_path, two.wire, HOST, "2")
    async with asyncio.TaskGroup() as group:
        life = group.create_task(second.exchange.run())
        with pytest.raises(MachineLost, match="has lost it"):
            await running
        life.cancel()
    assert second.runner.begun == 0


async def test_a_late_result_is_counted_thanked_for_and_no_result(two: Pair) -> None:
    two.host.runner.gate.clear()
    running = asyncio.ensure_future(two.run(two.request(DATA)))
    await until_begun(two)
    two.wire.cut = True
    with pytest.raises(MachineLost):
        await running
    two.host.runner.gate.set()
    await asyncio.sleep(0.05)
    two.wire.cut = False
    await eventually(lambda: not list(two.host.exchange.host.errands()))
    assert two.asker.exchange.asker.late["result"] == 1


async def test_cancelling_stops_the_task_there(two: Pair) -> None:
    two.host.runner.gate.clear()
    running = asyncio.ensure_future(two.run(two.request(DATA)))
    await until_begun(two)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.05)
    assert two.host.runner.cancelled == 1
    assert list(two.host.exchange.host.errands()) == []


async def test_an_input_that_is_nowhere_is_a_failure(two: Pair) -> None:
    request = two.request(DATA).model_copy({"inputs": {"data": "0" * 64}})
    result = await two.run(request)
    assert result.failure is not None
    assert result.failure.why is FailureReason.MISSING_INPUT


async def test_an_input_that_was_damaged_on_disk_is_a_failure(two: Pair) -> None:
    request = two.request(DATA)
    path = two.asker.store.path(request.inputs["data"])
    path.write_bytes(DATA[:-1] + b"?")
    result = await two.run(request)
    assert result.failure is not None
    assert result.failure.why is FailureReason.CORRUPT_INPUT


async def test_nobody_gets_a_blob_by_knowing_its_digest(two: Pair) -> None:
    digest = two.host.store.put(b"secret")
    two.host.exchange.take(ASKER, Channel.TASK, encode_letter(Want(digest=digest, offset=0, count=1)))
    assert two.host.exchange.server.denied == 1


async def test_pieces_that_nobody_asked_for_are_dropped_and_counted(two: Pair) -> None:
    piece = Piece(digest="0" * 64, offset=0, total=1, data=b"x")
    two.host.exchange.take(ASKER, Channel.TASK, encode_letter(piece))
    assert two.host.exchange.puller.strays == {"piece": 1}
    assert two.host.store.used_bytes == 0


async def test_too_many_errands_of_one_are_refused(two: Pair) -> None:
    two.host.runner.gate.clear()
    tasks = [asyncio.ensure_future(two.run(two.request(b"x", task=f"t{n}"))) for n in range(20)]
    await until_begun(two, 16)
    refused = [t for t in tasks if t.done()]
    assert len(refused) == 4
    assert all(isinstance(t.exception(), Refused) for t in refused)
    two.host.runner.gate.set()
    await asyncio.gather(*(t for t in tasks if t not in refused))


async def test_a_request_that_is_none_is_refused(two: Pair) -> None:
    two.host.exchange.take(ASKER, Channel.OFFER, encode_letter(Offer(id="0" * 24, request=b"\xc1")))
    assert two.host.exchange.host.refused == {"limits": 1}


async def test_the_result_of_something_else_is_no_result(two: Pair) -> None:
    two.host.runner.name = "gw-c"
    with pytest.raises(MachineLost, match="something else"):
        await two.run(two.request(DATA))


@pytest.mark.parametrize("channel", [Channel.OFFER, Channel.TASK, Channel.RESULT])
@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03", b"\x81\xa4what\xa4done", b"\x81\xa4what\x01", bytes(60_000)],
)
async def test_garbage_is_counted_by_reason(two: Pair, channel: Channel, payload: bytes) -> None:
    two.host.exchange.take(ASKER, channel, payload)
    assert sum(two.host.exchange.rejected.values()) == 1
    assert (await two.run(two.request(b"x"))).failure is None


async def test_a_letter_on_the_wrong_channel_is_refused(two: Pair) -> None:
    two.host.exchange.take(ASKER, Channel.OFFER, encode_letter(Done(id="0" * 24)))
    assert two.host.exchange.rejected == {"unknown-kind": 1}


async def test_a_stranger_can_neither_end_nor_answer_an_errand(two: Pair) -> None:
    two.host.runner.gate.clear()
    running = asyncio.ensure_future(two.run(two.request(DATA)))
    await until_begun(two)
    (known,) = two.asker.exchange.asker._asked.values()
    stranger = Party("hall", "gw-x")
    two.asker.exchange.take(stranger, Channel.RESULT, encode_letter(Done(id=known.id, reason="lost")))
    assert not running.done()
    two.host.runner.gate.set()
    assert (await running).failure is None
    assert LIMITS.wall_s > 0
