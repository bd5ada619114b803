"""Directed radio links: from attenuation to the chance that a packet is received, and how it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import exp, hypot, inf, log, log10, sqrt
from random import Random

from common.scenario import NO_SIGNAL_DB, Scenario
from firmware_bridge.virtual.reception import NOISE_DBM
from firmware_bridge.virtual.truths import DRIFT_S, HiddenTruths

LinkKey = tuple[int, int]
"""(transmitter, receiver)."""

# The signal over noise at which half the packets of the 1 Mbit/s PHY are lost.
HALF_LOST_SNR_DB = 12.0
FADING_DB = 2.0
"""Small-scale fading, as the width of the curve from lost to received."""

MIN_PDR = 0.02
MAX_PDR = 0.9999
STRONG = 0.98
"""Beyond this PDR the curve says nothing about the signal: a decay begins there, however strong it was."""

DRIFT_PERIOD_S = 10.0
DRIFT_BOUND = 2.0
"""In standard deviations."""

DRIFT_STRETCH_S = 1.0
"""How often a decaying link is moved."""


@dataclass(frozen=True, slots=True)
class Decay:
    """A link on its way from one PDR to another, in a straight line."""

    start_s: float
    end_s: float
    start_pdr: float
    end_pdr: float

    def at(self, t: float) -> float:
        """The PDR at a time."""
        if t >= self.end_s:
            return self.end_pdr
        share = max(0.0, (t - self.start_s) / (self.end_s - self.start_s))
        return self.start_pdr + share * (self.end_pdr - self.start_pdr)


def _nobody(_transmitter: int, _receiver: int) -> None:
    return None


class Links:
    """The PDR of every directed link, now, while nobody else is on the air.

    `drift_db` is the deviation of an Ornstein-Uhlenbeck process that moves each signal (0: none), with
    `drift_s` as the time it takes to forget: 0.5 dB moves a PDR of 0.9 between 0.85 and 0.94. A link that was
    set by hand no longer drifts. `ceiling` is what is left of a perfect signal: the rest is lost to others on
    every link alike. `margins` say how far signals lie above the receiver's threshold, in dB; without them
    that is what goes with the PDR. `changed` is told every link that moved.
    """

    def __init__(
        self,
        pdr: Mapping[LinkKey, float],
        drift_db: float = 0.0,
        seed: int = 1,
        ceiling: float = 1.0,
        margins: Mapping[LinkKey, float] | None = None,
        drift_s: float = DRIFT_S,
    ) -> None:
        self._drift_db = drift_db
        self._kept = exp(-DRIFT_PERIOD_S / drift_s)
        self._ceiling = ceiling
        self._first = dict(pdr)
        self._margins = margins or {}
        self._random = Random(f"drift {seed}")
        self._offset = {key: 0.0 for key, p in sorted(pdr.items()) if 0.0 < p < 1.0}
        self._decays: dict[LinkKey, Decay] = {}
        self.changed: Callable[[int, int], None] = _nobody
        self.out: dict[int, dict[int, float]] = {}
        for (a, b), p in sorted(pdr.items()):
            self.out.setdefault(a, {})[b] = p
        self._settle()

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return ((a, b, p) for a, receivers in self.out.items() for b, p in receivers.items())

    def pdr(self, transmitter: int, receiver: int) -> float:
        """Chance that one transmission is received."""
        return self.out.get(transmitter, {}).get(receiver, 0.0)

    def set(self, transmitter: int, receiver: int, pdr: float) -> None:
        """Hold a link at a PDR from now on."""
        self._offset.pop((transmitter, receiver), None)
        self._decays.pop((transmitter, receiver), None)
        self.out.setdefault(transmitter, {})[receiver] = pdr
        self.changed(transmitter, receiver)

    def decay(self, transmitter: int, receiver: int, to: float, seconds: float, now: float) -> None:
        """Let a link go to another PDR within `seconds`, and stay there."""
        start = self.pdr(transmitter, receiver)
        self.set(transmitter, receiver, start)
        if seconds <= 0:
            self.set(transmitter, receiver, to)
        else:
            self._decays[transmitter, receiver] = Decay(now, now + seconds, start, to)

    def margin_db(self, transmitter: int, receiver: int) -> float:
        """How far the signal lies above the receiver's threshold now.

        A drifting link's PDR follows its signal; of one that is set by hand the signal follows the PDR, on
        the curve from lost to received.
        """
        key = (transmitter, receiver)
        first = self._first.get(key, self.pdr(transmitter, receiver))
        margin = self._margins.get(key)
        if margin is None:
            margin = FADING_DB * self._odds(first)
        if key in self._offset:
            return margin + self._offset[key]
        return margin + FADING_DB * (self._odds(self.pdr(transmitter, receiver)) - self._odds(first))

    def _odds(self, pdr: float) -> float:
        """Log odds of a reception that nobody disturbs, within what tells of the signal."""
        return _logit(min(STRONG, max(1.0 - STRONG, pdr / self._ceiling)))

    @property
    def decaying(self) -> bool:
        """Whether `move_decays` has something to do."""
        return bool(self._decays)

    def move_decays(self, now: float) -> None:
        """Bring decaying links to where they are at `now`."""
        for (a, b), decay in list(self._decays.items()):
            self.out[a][b] = decay.at(now)
            self.changed(a, b)
            if now >= decay.end_s:
                del self._decays[a, b]

    def drift(self) -> None:
        """One step of every drifting link; due every DRIFT_PERIOD_S."""
        if not self._drift_db:
            return
        new = self._drift_db * sqrt(1.0 - self._kept**2)
        for key, offset in self._offset.items():
            self._move(key, self._kept * offset + self._random.gauss(0.0, new))

    def _settle(self) -> None:
        """Give every drifting link the offset that it would have after a long time: it began long ago."""
        if self._drift_db:
            for key in self._offset:
                self._move(key, self._random.gauss(0.0, self._drift_db))

    def _move(self, key: LinkKey, offset_db: float) -> None:
        bound = DRIFT_BOUND * self._drift_db
        self._offset[key] = offset_db = min(bound, max(-bound, offset_db))
        first = self._first[key] / self._ceiling
        odds = _logit(first) if first < 1.0 else inf
        self.out[key[0]][key[1]] = self._ceiling / (1.0 + exp(-odds - offset_db / FADING_DB))
        self.changed(*key)


def pdr_of(scenario: Scenario, loss: float = 0.0) -> dict[LinkKey, float]:
    """PDR of each link of a scenario; pairs that never hear each other are left out.

    `loss` is lost besides, on every link alike (interference from others).
    """
    return pdr_at(margins_of(scenario), loss)


def pdr_at(margins: Mapping[LinkKey, float], loss: float = 0.0) -> dict[LinkKey, float]:
    """Like `pdr_of`, of signals that lie so many dB above the threshold."""
    found = {}
    for key, margin in margins.items():
        pdr = (1.0 - loss) / (1.0 + exp(-max(-100.0, margin / FADING_DB)))
        if pdr >= MIN_PDR:
            found[key] = min(pdr, MAX_PDR)
    return found


def shifts_db(addresses: Iterable[int], truths: HiddenTruths, seed: int) -> Callable[[int, int], float]:
    """By how many dB a site's file is wrong about each signal: hidden shadowing and offsets."""
    transmit, receive = (dict.fromkeys(addresses, 0.0) for _ in range(2))
    for kind, offsets in (("transmitter", transmit), ("receiver", receive)):
        for address in offsets:
            offsets[address] = Random(f"{kind} {seed} {address}").gauss(0.0, truths.offset_db)

    def shift(transmitter: int, receiver: int) -> float:
        pair = f"wall {seed} {min(transmitter, receiver)} {max(transmitter, receiver)}"
        wall = Random(pair).gauss(0.0, truths.shadowing_db) if truths.shadowing_db else 0.0
        return transmit[transmitter] + receive[receiver] + wall

    return shift


def margins_of(scenario: Scenario) -> dict[LinkKey, float]:
    """How far each signal lies above its receiver's threshold, in dB."""
    power = {node.address: node.tx_power_dbm for node in scenario.nodes}
    threshold = threshold_dbm(scenario.radio.noise_figure_db)
    attenuations = _attenuations(scenario)
    return {(a, b): power[a] - attenuation - threshold for (a, b), attenuation in attenuations if a != b}


def threshold_dbm(noise_figure_db: float) -> float:
    """The signal at which half the packets are lost."""
    return NOISE_DBM + noise_figure_db + HALF_LOST_SNR_DB


def _attenuations(scenario: Scenario) -> Iterator[tuple[LinkKey, float]]:
    addresses = [node.address for node in scenario.nodes]
    if scenario.links is not None:
        yield from (((a, b), attenuation) for a, b, attenuation in scenario.links)
    elif scenario.attenuation_db is not None:
        for a, row in zip(addresses, scenario.attenuation_db, strict=True):
            yield from (((a, b), attenuation) for b, attenuation in zip(addresses, row, strict=True))
    else:
        yield from _attenuations_by_distance(scenario)


def _attenuations_by_distance(scenario: Scenario) -> Iterator[tuple[LinkKey, float]]:
    """Log-distance path loss with shadowing that is the same both ways."""
    radio, random = scenario.radio, Random(scenario.radio.shadowing_seed)
    for i, one in enumerate(scenario.nodes):
        for other in scenario.nodes[:i]:
            distance = max(1.0, hypot(one.x - other.x, one.y - other.y))
            loss = radio.path_loss_1m_db + 10.0 * radio.path_loss_exponent * log10(distance)
            loss = min(NO_SIGNAL_DB, loss + random.gauss(0.0, radio.shadowing_db))
            yield (one.address, other.address), loss
            yield (other.address, one.address), loss


def _logit(p: float) -> float:
    return log(p / (1.0 - p))
