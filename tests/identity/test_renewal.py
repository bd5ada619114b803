"""When the agent renews, what it tells, and what it does about clocks and operators."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from common.clock import ManualClock
from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from coordinator.enrolment import enrol
from edge_agent.config import AgentConfig
from edge_agent.identity.age import Age
from edge_agent.identity.pair import IDENTITY_FILE, Identity, current, keep
from edge_agent.identity.renewal import ERRAND, Renewal
from tests.identity.gateway import copy_identity, settle

DAY = 86_400.0
Told = list[tuple[str, dict[str, Any]]]


class _Coordinator:
    """Answers errands: enrols anew, as the real one does in its own way, or fails with `error`."""

    def __init__(self, state: Path, config: AgentConfig, clock: ManualClock) -> None:
        self._state, self._config, self._clock = state, config, clock
        self.asked: list[str] = []
        self.error: MeshtwinError | None = None
        self.confirms = True

    async def send(self, module: str, order: dict[str, Any], patience_s: float) -> dict[str, Any]:
        assert module == ERRAND
        self.asked.append(order["task"])
        if self.error is not None:
            raise self.error
        if order["task"] == "confirm":
            return {"confirmed": True}
        folder = enrol(self._state, "hall", "gw-1", again=True, now=self._clock.wall()).folder
        keep(Path(order["target"]), *_pair_in(folder), order["origin"])
        facts = current(self._config).facts
        return {"serial": facts.serial, "not_after": facts.not_after, "confirmed": self.confirms}


class _Play:
    """A renewal over a clock that is moved by hand."""

    def __init__(self, state: Path, config: AgentConfig) -> None:
        self.clock = ManualClock(wall=time.time())
        self.config = config
        self.told: Told = []
        self.used: list[Identity] = []
        self.refuse_use = False
        self.coordinator = _Coordinator(state, config, self.clock)
        self.renewal = Renewal(
            config,
            current(config),
            self._use,
            self.clock,
            Random(1),
            announce=self._tell,
            warn=self._tell,
            send=self.coordinator.send,
        )

    def events(self) -> list[str]:
        return [name for name, _ in self.told]

    def _use(self, identity: Identity) -> None:
        if self.refuse_use:
            raise Misconfigured("certificate and key are no pair")
        self.used.append(identity)

    def _tell(self, name: str, **fields: Any) -> None:
        self.told.append((name, fields))


@pytest.fixture
def play(state: Path, tmp_path: Path) -> _Play:
    return _Play(state, settle(state, tmp_path / "gateway"))


async def test_a_certificate_in_its_first_two_thirds_is_left_alone(play: _Play) -> None:
    play.clock.jump_wall(59 * DAY)
    assert await play.renewal.look() == 3600
    assert (play.coordinator.asked, play.told, play.renewal.age) == ([], [], Age.GOOD)


async def test_at_two_thirds_it_is_renewed_used_and_told(play: _Play) -> None:
    play.clock.jump_wall(62 * DAY)
    before = play.renewal.certificate.serial
    await play.renewal.look()
    after = play.renewal.certificate.serial
    assert before != after
    assert [identity.facts.serial for identity in play.used] == [after]
    assert play.events() == ["certificate-in-use", "certificate-renewed"]
    assert play.told[-1][1]["serial"] == after
    await play.renewal.look()
    assert play.coordinator.asked == ["renew"]


async def test_a_coordinator_that_is_away_is_asked_ever_more_rarely_and_then_it_goes_on(play: _Play) -> None:
    play.clock.jump_wall(62 * DAY)
    play.coordinator.error = Unavailable("nobody listens")
    pauses = [await play.renewal.look() for _ in range(12)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (60, 6 * 3600)
    assert play.events() == []
    assert "nobody listens" in play.renewal.summary()["problem"]
    play.coordinator.error = None
    assert await play.renewal.look() == 3600
    assert play.renewal.summary()["problem"] == ""


async def test_an_end_that_comes_near_is_told_once_with_the_reason(play: _Play) -> None:
    play.clock.jump_wall(76 * DAY)
    play.coordinator.error = Unavailable("nobody listens")
    for _ in range(3):
        await play.renewal.look()
    assert play.events() == ["certificate-expiring"]
    assert play.told[0][1]["reason"] == "nobody listens"


async def test_after_the_end_the_fix_is_told_once_and_nothing_is_tried(play: _Play) -> None:
    play.clock.jump_wall(120 * DAY)
    for _ in range(3):
        assert await play.renewal.look() == 3600
    assert (play.events(), play.coordinator.asked) == (["certificate-expired"], [])
    assert "coordinator gateways enrol hall gw-1 --again" in play.told[0][1]["fix"]
    assert "coordinator gateways enrol hall gw-1 --again" in play.renewal.hint()
    assert play.renewal.summary()["state"] == "expired"


async def test_a_gateway_that_is_enrolled_again_goes_on_without_a_restart(play: _Play, state: Path) -> None:
    play.clock.jump_wall(120 * DAY)
    await play.renewal.look()
    enrol(state, "hall", "gw-1", again=True, now=play.clock.wall())
    copy_identity(state, play.config.broker.certificate.parent)
    await play.renewal.look()
    assert play.events() == ["certificate-expired", "certificate-in-use"]
    assert (play.renewal.age, play.renewal.hint()) == (Age.GOOD, "")
    assert len(play.used) == 1


async def test_a_copy_that_is_not_finished_is_looked_at_again(play: _Play, state: Path) -> None:
    enrol(state, "hall", "gw-1", again=True)
    copy_identity(state, play.config.broker.certificate.parent)
    before, play.refuse_use = play.renewal.certificate, True
    assert await play.renewal.look() == 60
    assert play.renewal.certificate == before
    assert "no pair" in play.renewal.summary()["problem"]
    play.refuse_use = False
    await play.renewal.look()
    assert play.renewal.certificate != before


async def test_a_refused_renewal_is_told_once_with_the_fix(play: _Play) -> None:
    play.clock.jump_wall(62 * DAY)
    play.coordinator.error = Rejected(RejectReason.INVALID, "gateway gw-1 was revoked")
    for _ in range(3):
        await play.renewal.look()
    assert play.events() == ["certificate-renewal-refused"]
    assert "was revoked" in play.told[0][1]["reason"]
    assert "--again" in play.told[0][1]["fix"]


async def test_a_clock_that_jumps_ahead_and_back_leaves_nothing_behind(play: _Play) -> None:
    play.clock.jump_wall(2000 * DAY)
    await play.renewal.look()
    assert play.renewal.age is Age.EXPIRED
    play.clock.jump_wall(-2000 * DAY)
    assert await play.renewal.look() == 3600
    assert (play.renewal.age, play.renewal.hint(), play.coordinator.asked) == (Age.GOOD, "", [])
    play.clock.jump_wall(100 * DAY)
    await play.renewal.look()
    assert play.events() == ["certificate-expired"] * 2


async def test_a_clock_that_jumps_far_back_is_named_and_renews_nothing(play: _Play) -> None:
    play.clock.jump_wall(-play.clock.wall() + 1000)
    await play.renewal.look()
    assert (play.renewal.age, play.coordinator.asked) == (Age.EARLY, [])
    assert "set this machine's clock" in play.renewal.hint()


async def test_what_the_coordinator_did_not_confirm_is_said_again(play: _Play) -> None:
    play.clock.jump_wall(62 * DAY)
    play.coordinator.confirms = False
    await play.renewal.look()
    play.coordinator.error = Unavailable("nobody listens")
    await play.renewal.look()
    play.coordinator.error = None
    await play.renewal.look()
    await play.renewal.look()
    assert play.coordinator.asked == ["renew", "confirm", "confirm"]


async def test_a_pair_that_an_errand_left_before_it_died_is_used_and_confirmed(
    play: _Play, state: Path
) -> None:
    """The coordinator's answer was kept, and then the process was killed."""
    folder = enrol(state, "hall", "gw-1", again=True).folder
    keep(play.config.gateway.state_dir / IDENTITY_FILE, *_pair_in(folder), current(play.config).origin)
    await play.renewal.look()
    assert (play.renewal.summary()["renewed"], play.coordinator.asked) == (True, ["confirm"])


async def test_a_damaged_pair_is_told_and_the_configured_one_serves(play: _Play, state: Path) -> None:
    play.clock.jump_wall(62 * DAY)
    await play.renewal.look()
    (play.config.gateway.state_dir / IDENTITY_FILE).write_bytes(b"cut")
    play.clock.jump_wall(-10 * DAY)
    await play.renewal.look()
    assert play.events()[-2:] == ["state-lost", "certificate-in-use"]
    assert not play.renewal.summary()["renewed"]


async def test_the_part_looks_again_when_its_time_has_come(play: _Play) -> None:
    async with asyncio.TaskGroup() as owner:
        task = owner.create_task(play.renewal.run())
        await play.clock.advance(3600)
        assert play.coordinator.asked == []
        play.clock.jump_wall(62 * DAY)
        await play.clock.advance(3600)
        assert play.coordinator.asked == ["renew"]
        task.cancel()


def test_the_daemon_carries_no_cryptographic_library() -> None:
    """It is loaded by the errand alone: most of its memory would be for one renewal in two months."""
    script = "import sys, edge_agent.app; print(sorted(m for m in sys.modules if m == 'cryptography'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _pair_in(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "gateway.crt").read_bytes(), (folder / "gateway.key").read_bytes()
