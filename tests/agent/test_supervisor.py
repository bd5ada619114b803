"""The supervisor: restarts, ends, and stops in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.clock import ManualClock, SystemClock
from common.errors import Unavailable
from edge_agent.supervisor import (
    GRACE_S,
    HEALTHY_S,
    PartFailed,
    Supervisor,
    single_instance,
    stopped_by_signals,
)


async def forever() -> None:
    await asyncio.Event().wait()


async def test_an_optional_part_is_restarted_after_ever_longer_pauses(clock: ManualClock) -> None:
    supervisor = Supervisor(clock)
    starts: list[float] = []

    async def fails() -> None:
        starts.append(clock.monotonic())
        raise Unavailable("not now")

    supervisor.optional("fails", fails)
    async with asyncio.TaskGroup() as owner:
        owner.create_task(supervisor.run())
        await clock.advance(16.0)
        supervisor.stop()
    assert starts == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert supervisor.restarts == {"fails": 5}


async def test_a_part_that_was_healthy_restarts_soon_again(clock: ManualClock) -> None:
    supervisor = Supervisor(clock)
    starts: list[float] = []

    async def lives_a_while() -> None:
        starts.append(clock.monotonic())
        await clock.sleep(0.0 if len(starts) < 4 else HEALTHY_S)
        raise RuntimeError("broke")

    supervisor.optional("part", lives_a_while)
    async with asyncio.TaskGroup() as owner:
        owner.create_task(supervisor.run())
        await clock.advance(7.0 + HEALTHY_S + 1.0)
        supervisor.stop()
    assert starts == [0.0, 1.0, 3.0, 7.0, 7.0 + HEALTHY_S + 1.0]


@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_an_essential_part_takes_everything_down(clock: ManualClock, how: str) -> None:
    supervisor = Supervisor(clock)
    ended: list[str] = []

    async def dies() -> None:
        await clock.sleep(1.0)
        if how == "raises":
            raise Unavailable("gone")

    async def works() -> None:
        try:
            await forever()
        finally:
            ended.append("works")

    supervisor.essential("dies", dies)
    supervisor.optional("works", works)

    async def expect() -> None:
        with pytest.raises(PartFailed, match="dies"):
            await supervisor.run()

    async with asyncio.TaskGroup() as owner:
        owner.create_task(expect())
        await clock.advance(1.0)
    assert ended == ["works"]


async def test_stop_lets_parts_say_goodbye(clock: ManualClock) -> None:
    supervisor = Supervisor(clock)
    said: list[str] = []

    async def polite() -> None:
        try:
            await forever()
        finally:
            await clock.sleep(GRACE_S / 2)
            said.append("goodbye")

    supervisor.essential("polite", polite)
    async with asyncio.TaskGroup() as owner:
        owner.create_task(supervisor.run())
        await clock.advance(0.1)
        supervisor.stop()
        await clock.advance(GRACE_S)
    assert said == ["goodbye"]


async def test_stragglers_are_named_and_then_aborted(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    aborted: list[float] = []
    released = asyncio.Event()

    def abort() -> None:
        aborted.append(clock.monotonic())
        released.set()

    supervisor = Supervisor(clock, abort)

    async def deaf() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    supervisor.optional("deaf", deaf)
    async with asyncio.TaskGroup() as owner:
        running = owner.create_task(supervisor.run())
        await clock.advance(0.1)
        supervisor.stop()
        await clock.advance(2 * GRACE_S + 0.1)
        assert aborted == [0.0 + 0.1 + 2 * GRACE_S]
        running.cancel()
    fields = [getattr(record, "meshtwin_fields", {}) for record in caplog.records]
    assert {"parts": "deaf"} in fields


async def test_a_termination_signal_ends_it_cleanly() -> None:
    supervisor = Supervisor(SystemClock())
    supervisor.essential("works", forever)
    with stopped_by_signals(supervisor):
        async with asyncio.TaskGroup() as owner:
            owner.create_task(supervisor.run())
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_state_folder_has_one_agent(tmp_path: Path) -> None:
    with single_instance(tmp_path / "state"):
        with pytest.raises(Unavailable) as caught, single_instance(tmp_path / "state"):
            pass
        assert f"process {os.getpid()}" in str(caught.value)
    with single_instance(tmp_path / "state"):
        pass


def test_a_killed_agent_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from edge_agent.supervisor import single_instance\n"
        "with single_instance(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    with single_instance(tmp_path):
        pass
