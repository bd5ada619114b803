"""The neighbour table of link monitoring, and when to probe: pure, time comes in as a parameter.

Neither sends nor receives; `foundation/monitor.py` does, and firmware does the same from PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from firmware_bridge.link import NeighbourCount

# A window's counts have five bits on air.
COUNT_MAX: Final = 31
_HISTORY_BITS: Final = 32
_HISTORY_MASK: Final = (1 << _HISTORY_BITS) - 1
# A sequence that jumps further than this belongs to a transmitter that started anew.
_SEQUENCE_JUMP: Final = 1024


@dataclass(frozen=True, slots=True)
class Detection:
    """When silence becomes a loss. `grace` is a share of the transmitter's period, at least `least_grace_s`:
    repeated transmissions take their time however short the period is. An answer may take `answer_s`."""

    grace: float = 0.15
    least_grace_s: float = 0.1
    answer_s: float = 0.25
    most_questions: int = 4
    false_alarm: float = 0.002
    good_share: float = 0.7
    least_outcomes: int = 4
    repeat_s: tuple[float, float] = (0.2, 0.4)
    forget_after: int = 30
    limit: int = 64
    losses_at_once: float = 4.0
    loss_each_s: float = 2.5

    def questions(self, share: float, others: int = 0) -> int:
        """How many questions have to stay without an answer before a missed probe becomes a loss, while so
        many `others` are in doubt.

        One more for each of them: neighbours seldom die together, and who misses several of them hears badly
        at this moment. Else as many as make a false alarm rare: the chance of a missed probe, times that of
        every question or its answer being lost too. Nobody is believed to be heard better than 99 in 100.
        """
        heard = min(share, 0.99)
        chance = 1.0 - heard
        for number in range(1, self.most_questions):
            chance *= 1.0 - heard * heard
            if chance <= self.false_alarm:
                return min(self.most_questions, number + others)
        return self.most_questions


@dataclass(frozen=True, slots=True)
class Doubt:
    """A probe of a usually good transmitter is overdue: ask it for a sign of life now."""

    transmitter: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A usually good transmitter is silent. `missed` counts probes and questions in a row; `share_before` is
    what was heard of it before, 0 to 1."""

    transmitter: int
    missed: int
    share_before: float


class Telling:
    """How many losses a node may tell: a few at once, and then one from time to time.

    Every loss told is repeated by every relay. Relays that fall behind send their probes late, which looks
    like a loss to all who hear them: without a limit, that never ends.
    """

    def __init__(self, detection: Detection, now: float) -> None:
        self._detection = detection
        self._left, self._at = detection.losses_at_once, now

    def allows(self, now: float) -> bool:
        """Whether one may be told now; if so, it is taken for told."""
        more = (now - self._at) / self._detection.loss_each_s
        self._left, self._at = min(self._detection.losses_at_once, self._left + more), now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


@dataclass(slots=True)
class _Neighbour:
    """One transmitter as heard here. `start` is when its last heard probe was due by its own rhythm."""

    transmitter: int
    period: float
    transmissions: int
    sequence: int
    start: float
    missed: int = 0
    history: int = 1
    outcomes: int = 1
    heard: int = 1
    expected: int = 1
    rssi_sum: int = 0
    rssi_count: int = 0
    asked: int = 0
    ask_at: float | None = None
    lost: bool = False
    repeat_at: float | None = None

    def reassure(self) -> None:
        """The transmitter lives: neither in doubt nor lost."""
        self.asked, self.ask_at, self.lost, self.repeat_at = 0, None, False, None

    def share(self) -> float:
        """Share heard before the misses of this moment."""
        seen = min(self.outcomes, _HISTORY_BITS) - self.missed
        return (self.history >> self.missed).bit_count() / seen if seen > 0 else 0.0

    def record(self, heard: bool) -> None:
        self.history = (self.history << 1 | heard) & _HISTORY_MASK
        self.outcomes += 1
        if self.expected < COUNT_MAX:
            self.expected += 1
            self.heard += heard

    def count(self) -> NeighbourCount:
        rssi = round(self.rssi_sum / self.rssi_count) if self.rssi_count else None
        return NeighbourCount(self.transmitter, self.heard, self.expected, self.transmissions, rssi)

    def clear_window(self) -> None:
        self.heard = self.expected = self.rssi_sum = self.rssi_count = 0


class NeighbourTable:
    """Counts the probes of up to `limit` transmitters and says when one of them falls silent.

    A full table drops the transmitter that is heard least. The owner calls `tick` at `next_deadline`, after
    it handed over every probe that arrived before.
    """

    def __init__(self, random: Random, detection: Detection | None = None) -> None:
        self._random = random
        self._detection = detection or Detection()
        # Neighbours of the same dead node must not all speak in the same moment.
        self._spread = random.uniform(1.0, 1.2)
        self._neighbours: dict[int, _Neighbour] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._neighbours)

    def heard(
        self,
        transmitter: int,
        sequence: int,
        period: float,
        transmissions: int,
        now: float,
        rssi_dbm: int | None = None,
    ) -> None:
        """Count a probe. A repeated transmission of it counts once; period 0 says farewell."""
        if period <= 0:
            self._neighbours.pop(transmitter, None)
            return
        neighbour = self._neighbours.get(transmitter)
        step = (sequence - neighbour.sequence) & 0xFFFF if neighbour else 0
        if neighbour and (step == 0 or step > 0xFFFF - 16):
            return
        if neighbour is None:
            neighbour = self._admit(_Neighbour(transmitter, period, transmissions, sequence, now))
        else:
            self._advance(neighbour, sequence, step, now)
            neighbour.period, neighbour.transmissions = period, transmissions
        if rssi_dbm is not None:
            neighbour.rssi_sum += rssi_dbm
            neighbour.rssi_count += 1

    def alive(self, transmitter: int) -> None:
        """A transmitter answered a question, ours or another neighbour's. Its missed probes stay missed."""
        if transmitter in self._neighbours:
            self._neighbours[transmitter].reassure()

    def tick(self, now: float) -> list[Doubt | Loss]:
        """Count the probes that are overdue at `now`; whom to ask and which losses to tell, at once."""
        found = [item for neighbour in self._neighbours.values() for item in self._overdue(neighbour, now)]
        for gone in [n for n in self._neighbours.values() if n.missed > self._detection.forget_after]:
            del self._neighbours[gone.transmitter]
        return found

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, should nothing be heard until then."""
        return min(self._deadlines(), default=None)

    def take_counts(self) -> tuple[NeighbourCount, ...]:
        """What was counted since the last time, and start counting anew."""
        counted = [n for n in self._neighbours.values() if n.expected]
        counts = tuple(neighbour.count() for neighbour in counted)
        for neighbour in counted:
            neighbour.clear_window()
        return counts

    def clear(self) -> None:
        """Forget everything, as a reboot does and as after a time without hearing."""
        self._neighbours.clear()

    def _admit(self, neighbour: _Neighbour) -> _Neighbour:
        if len(self._neighbours) >= self._detection.limit:
            worst = min(self._neighbours.values(), key=lambda n: (n.share(), -n.missed))
            del self._neighbours[worst.transmitter]
            self.dropped += 1
        self._neighbours[neighbour.transmitter] = neighbour
        return neighbour

    def _advance(self, neighbour: _Neighbour, sequence: int, step: int, now: float) -> None:
        restarted = step > _SEQUENCE_JUMP
        if restarted:
            step = neighbour.missed + 1
        for _ in range(min(step - 1 - neighbour.missed, COUNT_MAX)):
            neighbour.record(False)
        if step > neighbour.missed:
            neighbour.record(True)
        else:
            self._forgive(neighbour)
        due = neighbour.start + step * neighbour.period
        on_time = not restarted and abs(now - due) < self._grace(neighbour)
        # Follow the transmitter's rhythm slowly: one arrival may be late by a queue or a jitter.
        neighbour.start = due + 0.3 * (now - due) if on_time else now
        neighbour.sequence, neighbour.missed = sequence, 0
        neighbour.reassure()

    @staticmethod
    def _forgive(neighbour: _Neighbour) -> None:
        """A probe that was counted as missed was only late."""
        neighbour.history |= 1
        neighbour.heard = min(neighbour.heard + 1, neighbour.expected)

    def _overdue(self, neighbour: _Neighbour, now: float) -> Iterator[Doubt | Loss]:
        while now >= self._miss_at(neighbour) and neighbour.missed <= self._detection.forget_after:
            neighbour.record(False)
            neighbour.missed += 1
            if not neighbour.lost and neighbour.ask_at is None and self._is_good(neighbour):
                neighbour.ask_at = now
        if neighbour.ask_at is not None and now >= neighbour.ask_at:
            yield self._ask_or_give_up(neighbour, now)
        if neighbour.repeat_at is not None and now >= neighbour.repeat_at:
            neighbour.repeat_at = None
            yield self._loss(neighbour)

    def _ask_or_give_up(self, neighbour: _Neighbour, now: float) -> Doubt | Loss:
        others = sum(n.ask_at is not None for n in self._neighbours.values()) - 1
        if neighbour.asked < self._detection.questions(neighbour.share(), others):
            neighbour.asked += 1
            neighbour.ask_at = now + self._detection.answer_s
            return Doubt(neighbour.transmitter)
        neighbour.ask_at, neighbour.lost = None, True
        neighbour.repeat_at = now + self._random.uniform(*self._detection.repeat_s)
        return self._loss(neighbour)

    @staticmethod
    def _loss(neighbour: _Neighbour) -> Loss:
        return Loss(neighbour.transmitter, neighbour.missed + neighbour.asked, neighbour.share())

    def _is_good(self, neighbour: _Neighbour) -> bool:
        enough = neighbour.outcomes - neighbour.missed >= self._detection.least_outcomes
        return enough and neighbour.share() >= self._detection.good_share

    def _miss_at(self, neighbour: _Neighbour) -> float:
        beats = neighbour.missed + 1
        return neighbour.start + beats * neighbour.period + self._grace(neighbour)

    def _grace(self, neighbour: _Neighbour) -> float:
        share = self._detection.grace * neighbour.period
        return self._spread * max(share, self._detection.least_grace_s)

    def _deadlines(self) -> Iterator[float]:
        for neighbour in self._neighbours.values():
            yield self._miss_at(neighbour)
            if neighbour.ask_at is not None:
                yield neighbour.ask_at
            if neighbour.repeat_at is not None:
                yield neighbour.repeat_at


class ProbeSchedule:
    """When a node probes: a steady rhythm from a random phase, each probe jittered by a little.

    The jitter does not add up, so that receivers can tell a late probe from a missing one.
    """

    JITTER: Final = 0.04
    FIRST: Final = (0.5, 1.0)
    """Shares of a new period between which its first interval lies: nodes that change together spread out."""

    def __init__(self, period: float, now: float, random: Random) -> None:
        self._period = period
        self._random = random
        self._beat = now + random.uniform(0.0, period)
        self._changed = False
        self.due = self._beat
        self.promised = period
        """From the last probe to the next one, in seconds: what that probe has to say."""

    def change(self, period: float, now: float) -> None:
        """Another period from now on. The next probe comes when it was promised, or sooner: it tells the new
        period, and until neighbours have heard of that, they would miss a probe that takes longer."""
        self._period, self._changed = period, True
        self._beat = min(self._beat, now + self._random.uniform(0.0, period))
        self.due = min(self.due, max(self._beat, now))

    def advance(self, now: float) -> None:
        """The probe of `due` is sent at `now`. Beats that a stalled process slept through are skipped."""
        self.promised = self._period
        if self._changed:
            self._changed = False
            self.promised = self._period * self._random.uniform(*self.FIRST)
            self._beat = now + self.promised
        else:
            behind = max(0, int((now - self._beat) / self._period))
            self._beat += (behind + 1) * self._period
        self.due = self._beat + self._random.uniform(0.0, self.JITTER * self._period)
