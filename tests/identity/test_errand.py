"""Short-lived processes: answers and errors come through, and whatever they do costs only the errand."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from common.errors import Corrupt, MeshtwinError, Misconfigured, Rejected, RejectReason, TimedOut, Unavailable
from edge_agent import errand

MODULE = "tests.identity.errands"
PATIENCE_S = 30.0


async def test_a_request_and_its_answer_pass_whole() -> None:
    request = {"how": "answer", "text": "ä\n" * 10_000}
    answer = await errand.send(MODULE, request, PATIENCE_S)
    assert answer["heard"] == request


@pytest.mark.parametrize(
    ("how", "kind"),
    [("unavailable", Unavailable), ("timed-out", TimedOut), ("corrupt", Corrupt)],
)
async def test_an_error_of_ours_passes_as_it_is(how: str, kind: type[MeshtwinError]) -> None:
    with pytest.raises(MeshtwinError) as caught:
        await errand.send(MODULE, {"how": how}, PATIENCE_S)
    assert type(caught.value) is kind


async def test_the_reason_of_a_refusal_and_the_fix_of_a_mistake_pass_too() -> None:
    with pytest.raises(Rejected, match="another digest") as refused:
        await errand.send(MODULE, {"how": "rejected"}, PATIENCE_S)
    assert refused.value.reason is RejectReason.ALTERED
    with pytest.raises(Misconfigured, match="no such file") as mistaken:
        await errand.send(MODULE, {"how": "misconfigured"}, PATIENCE_S)
    assert mistaken.value.fix == "make it"


@pytest.mark.parametrize("how", ["die", "flood", "chatter", "list", "silence"])
async def test_an_errand_that_ends_without_a_proper_answer_is_unavailable(how: str) -> None:
    with pytest.raises(Unavailable, match="no answer"):
        await errand.send(MODULE, {"how": how}, PATIENCE_S)


async def test_a_module_that_is_not_there_is_unavailable(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable, match="ended with code 1"):
        await errand.send("tests.identity.no_such_errand", {}, PATIENCE_S)


async def test_an_errand_that_hangs_is_killed() -> None:
    with pytest.raises(TimedOut):
        await errand.send(MODULE, {"how": "hang"}, 0.5)
    assert _children() == set()


async def test_an_errand_whose_caller_is_cancelled_is_killed() -> None:
    async with asyncio.TaskGroup() as owner:
        task = owner.create_task(errand.send(MODULE, {"how": "hang"}, PATIENCE_S))
        deadline = time.monotonic() + PATIENCE_S
        while not _children():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()
    assert _children() == set()


def _children() -> set[str]:
    """Errands of this process that live."""
    own = Path("/proc/self").resolve().name
    found = set()
    for line in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = line.read_text().rpartition(")")[2].split()
            if fields[1] == own and fields[0] != "Z" and MODULE in (line.parent / "cmdline").read_text():
                found.add(line.parent.name)
        except OSError:
            continue
    return found
