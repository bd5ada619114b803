"""What schedulers know of the fleet: the last heartbeats."""

from __future__ import annotations

from heapq import heapify, heapreplace
from math import exp
from typing import TYPE_CHECKING, Final

from tools.benchmarks.online.fleet import CHANNELS, DOWN_S, FADING, FREE, MACHINES, MBIT_S

if TYPE_CHECKING:
    from tools.benchmarks.online.play import Play

HEARTBEAT_MS: Final = 100.0
AVERAGED_MS: Final = 5_000.0
"""Utilisation is averaged with this time constant."""

_FORGET: Final = exp(-HEARTBEAT_MS / AVERAGED_MS)
_USUALLY_DOWN_MS: Final = sum(DOWN_S) * 500.0


class View:
    """Times are absolute, ms. `free_at` per machine and slot and `channel_free_at` count what is promised."""

    def __init__(self) -> None:
        self.dead: dict[int, float] = {}
        self.free_at: list[list[float]] = [[0.0] * (machine.slots or 0) for machine in MACHINES]
        self.channel_free_at = [0.0] * len(CHANNELS)
        self.used = [0.0] * len(MACHINES)
        self.channel_used = [0.0] * len(CHANNELS)
        self.wan_share = 1.0

    def refresh(self, play: Play, wan_share: float) -> None:
        """A heartbeat of everybody who lives."""
        self.wan_share = wan_share
        promised = play.promised_ms()
        for machine, (slots, busy) in enumerate(zip((m.slots for m in MACHINES), play.running, strict=True)):
            if slots is not None and play.up[machine]:
                self.free_at[machine] = _free_at(play, machine, slots, promised[machine])
                self.used[machine] += (1.0 - _FORGET) * (len(busy) / slots - self.used[machine])
        for channel in range(FREE):
            self.channel_free_at[channel] = self._drained(play, channel)
            in_use = float(play.sending[channel] is not None)
            self.channel_used[channel] += (1.0 - _FORGET) * (in_use - self.channel_used[channel])

    def die(self, machine: int, now_ms: float) -> None:
        """Heartbeats are missing."""
        self.dead[machine] = now_ms

    def revive(self, machine: int) -> None:
        """It is heard again."""
        self.dead.pop(machine, None)
        self.free_at[machine] = [0.0] * len(self.free_at[machine])

    def back_ms(self, machine: int, now_ms: float) -> float:
        """In how many ms a dead machine may be back, by what is usual."""
        return max(self.dead[machine] + _USUALLY_DOWN_MS - now_ms, 1_000.0)

    def _drained(self, play: Play, channel: int) -> float:
        share = self.wan_share if channel in FADING else 1.0
        transfers = [entry[2] for entry in play.queues[channel] if entry[2].live]
        bits = sum(transfer.job.graph.edges[transfer.edge][2] for transfer in transfers)
        sending = play.sending[channel]
        if sending is not None:
            bits += sending.job.graph.edges[sending.edge][2] / 2.0
        return play.now_ms + bits / (MBIT_S[channel] * 1000.0 * share)


def _free_at(play: Play, machine: int, slots: int, promised_ms: list[float]) -> list[float]:
    """When each slot is through with what runs, waits and is to come, as far as can be foretold."""
    ends = [play.now_ms + run.left_ms(play.now_ms) for run in play.running[machine]]
    ends += [play.now_ms] * (slots - len(ends))
    heapify(ends)
    waiting = [run.expected_ms for _, _, run in sorted(play.waiting[machine], key=lambda entry: entry[:2])]
    for expected_ms in (*waiting, *promised_ms):
        heapreplace(ends, ends[0] + expected_ms)
    return ends
