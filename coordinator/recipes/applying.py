"""Applies a plan step by step, counts what comes of each, and puts everything back when anything gets worse.

Crash-only: what is under way is on disk before it is ordered, and `carry_on` takes up whatever is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from common.clock import Clock
from common.errors import MeshtwinError
from common.logs import get_logger
from coordinator.recipes.application import Application, Counted
from coordinator.recipes.judgement import (
    TOLERANCE,
    Count,
    Judgement,
    Key,
    Verdict,
    judge,
    merged,
    too_few,
)
from coordinator.recipes.plan import NodeSetting

ATTEMPTS: Final = 3
UNDO_ATTEMPTS: Final = 20
"""A gateway may be away for minutes; what is half done should not stay so for want of patience."""
PAUSE_S: Final = 5.0
UNWANTED: Final = "the operator wants it put back"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What became of an order. `again`: it may well be carried out in a while. `untouched`: nothing was done
    for certain."""

    done: bool
    detail: str = ""
    again: bool = False
    untouched: bool = False


class Hands(Protocol):
    """What a site is changed and counted with."""

    async def change(
        self,
        command_id: str,
        gateway: str,
        settings: tuple[NodeSetting, ...],
        expects: tuple[int, ...],
        cause: str,
    ) -> Ordered:
        """Make changes at a site, once for each `command_id`, whatever `gateway` it was given to before.

        Everything or nothing: after a failure all is as before, as far as nodes can be reached."""

    async def count(self, keys: Collection[Key], times: int) -> Mapping[Key, Count]:
        """Count round trips or messages, `times` of each. Raises Unavailable or TimedOut."""

    async def whom(self) -> str:
        """The gateway to give orders to; "" where that is nobody's question. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to count: `times` a round, up to so many rounds, and from which chance of a loss greater than
    `tolerance` on a key counts as worse when all rounds are over. After the last step `final_rounds` and
    `final_at_last` hold instead, where they are given: steps on the way are looked at for harm that nobody
    should wait with, what stays for good is looked at longer."""

    times: int = 10
    baseline_rounds: int = 3
    rounds: int = 6
    at_last: float = 0.95
    tolerance: float = TOLERANCE
    final_rounds: int | None = None
    final_at_last: float | None = None

    def end(self, is_final: bool) -> tuple[int, float]:
        """Rounds, and the chance from which a loss counts when they are over."""
        if not is_final:
            return self.rounds, self.at_last
        return self.final_rounds or self.rounds, self.final_at_last or self.at_last


SHORT: Final = Patience()
THOROUGH: Final = Patience(times=40, baseline_rounds=10, rounds=3, final_rounds=15, final_at_last=0.5)
"""400 questions of each node before and 600 after: a loss of 0.02 more than is put up with is found 9 times
in 10 at a delivery of 0.95, and whatever looks like one is put back."""

PATIENCE: Final = {"short": SHORT, "thorough": THOROUGH}
"""As operators name it."""


class Applier:
    """Applies one plan. `keep` writes an application down, and raises Misconfigured where it cannot."""

    def __init__(
        self,
        hands: Hands,
        keys: Collection[Key],
        clock: Clock,
        keep: Callable[[Application], None],
        patience: Patience = THOROUGH,
    ) -> None:
        self._hands = hands
        self._keys = tuple(keys)
        self._clock = clock
        self._keep = keep
        self._patience = patience
        self.stopped = False
        """Set to have everything put back, as soon as the order that is under way has ended."""

    async def carry_on(self, application: Application) -> Application:
        """Apply, or go on with what an earlier run began, to the end. Raises Misconfigured (disk)."""
        now = application
        self.stopped = self.stopped or now.unwanted
        if now.state == "applying" and not now.baseline:
            now = await self._take_baseline(now)
        while now.is_open:
            now = await (self._forward(now) if now.state == "applying" else self._backward(now))
            self._keep(now)
        log.info("plan-ended", id=now.id, state=now.state, steps=now.taken)
        return now

    async def _take_baseline(self, now: Application) -> Application:
        counted: dict[Key, Count] = {}
        rounds = self._patience.baseline_rounds
        for number in range(1, rounds + 1):
            if self.stopped:
                return self._leave(now, UNWANTED)
            try:
                found = await self._hands.count(self._keys, self._patience.times)
            except MeshtwinError as error:
                return self._leave(now, f"counting failed: {error}")
            counted = merged(counted, found)
            now = self._tell(now, f"before, round {number} of {rounds}: {_answered(found)}")
        if doubt := too_few(counted, now.plan.figures.get("delivery_before")):
            return self._leave(now, doubt)
        baseline = tuple(Counted(key=k, asked=c.asked, answered=c.answered) for k, c in counted.items())
        now = self._then(now, f"before: {_answered(counted)}", baseline=baseline)
        self._keep(now)
        return now

    def _leave(self, now: Application, why: str) -> Application:
        """End it before anything was ordered."""
        now = self._then(now, f"nothing was done: {why}", state="undone", reason=why[:1000])
        self._keep(now)
        return now

    def _tell(self, now: Application, text: str) -> Application:
        """A line of the story for those who wait."""
        now = self._then(now, text)
        self._keep(now)
        return now

    async def _forward(self, now: Application) -> Application:
        if self.stopped:
            return self._turn_back(now, now.taken, UNWANTED)
        if (step := now.step) is None:
            return self._then(now, "applied", state="applied")
        ordered, now = await self._order(now, step.changes, step.expects, step.title)
        if not ordered.done:
            if ordered.again and now.attempt < ATTEMPTS:
                await self._clock.sleep(PAUSE_S)
                return self._again(now, ordered)
            # What came of an order without an answer is not known: it is put back with the others.
            taken = now.taken + (not ordered.untouched)
            return self._turn_back(now, taken, f"step {now.taken + 1}: {ordered.detail}")
        number = now.taken + 1
        now, found = await self._watch(now)
        if isinstance(found, str):
            return self._turn_back(now, number, f"step {number}: {found}")
        said = f"{found.mean_before:.3f} answered before, {found.mean_after:.3f} now"
        if found.verdict is Verdict.WORSE:
            keys = ", ".join(map(_show, found.worse[:8]))
            return self._turn_back(now, number, f"step {number}: {keys} got worse: {said}")
        return self._then(
            now, f"step {number} of {len(now.plan.steps)} done: {said}", taken=number, attempt=0
        )

    async def _backward(self, now: Application) -> Application:
        if (step := now.step) is None:
            return self._then(now, "everything is as it was before", state="undone")
        if not step.undo:
            return self._then(now, f"step {now.taken}: nothing to put back", taken=now.taken - 1, attempt=0)
        ordered, now = await self._order(now, step.undo, (), f"put back: {step.title}")
        if ordered.done:
            return self._then(now, f"step {now.taken} put back", taken=now.taken - 1, attempt=0)
        if now.attempt < UNDO_ATTEMPTS:
            await self._clock.sleep(PAUSE_S)
            return self._again(now, ordered)
        return self._then(now, f"step {now.taken} keeps its changes: {ordered.detail}", state="stuck")

    async def _order(
        self, now: Application, settings: tuple[NodeSetting, ...], expects: tuple[int, ...], cause: str
    ) -> tuple[Ordered, Application]:
        try:
            if not now.gateway:
                # Written down before it is sent: after a restart the same gateway is asked what became of it.
                now = now.model_copy(update={"gateway": await self._hands.whom()})
                self._keep(now)
            ordered = await self._hands.change(
                now.command_id, now.gateway, settings, expects, f"plan {now.plan.id}: {cause}"[:200]
            )
        except MeshtwinError as error:
            ordered = Ordered(False, str(error).splitlines()[0], again=True)
        return ordered, now.model_copy(update={"gateway": ""})

    async def _watch(self, now: Application) -> tuple[Application, Judgement | str]:
        """Count until it is clear, asking on only where it is not. Or why it cannot become clear."""
        patience, before = self._patience, now.counts()
        after: dict[Key, Count] = {}
        keys: Collection[Key] = self._keys
        rounds, limit = patience.end(now.taken + 1 == len(now.plan.steps))
        for number in range(1, rounds + 1):
            try:
                counted = await self._hands.count(keys, patience.times)
            except MeshtwinError as error:
                return now, f"its effect could not be counted: {error}"
            if self.stopped:
                return now, UNWANTED
            after = merged(after, counted)
            now = self._tell(now, f"step {now.taken + 1}, round {number} of {rounds}: {_answered(counted)}")
            at_last = limit if number == rounds else None
            found = judge(before, after, at_last=at_last, tolerance=patience.tolerance)
            if found.verdict is not Verdict.UNSURE:
                break
            keys = found.unsure
        return now, found

    def _again(self, now: Application, ordered: Ordered) -> Application:
        return self._then(now, f"once more: {ordered.detail}", attempt=now.attempt + 1)

    def _turn_back(self, now: Application, taken: int, why: str) -> Application:
        return self._then(now, why, state="undoing", taken=taken, attempt=0, reason=why[:1000])

    def _then(self, now: Application, text: str, **changed: object) -> Application:
        log.info("plan-step", id=now.id, what=text)
        return now.then(self._clock.wall(), text, **changed)


def _answered(counted: Mapping[Key, Count]) -> str:
    asked = sum(count.asked for count in counted.values())
    return f"{sum(count.answered for count in counted.values())} of {asked} answered"


def _show(key: Key) -> str:
    return f"0x{key:04x}" if isinstance(key, int) else f"0x{key[0]:04x} -> 0x{key[1]:04x}"
