"""Directed radio links: from attenuation to the chance that one transmission is received, and its drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, hypot, log, log10
from random import Random

from common.scenario import NO_SIGNAL_DB, Scenario

LinkKey = tuple[int, int]
"""(transmitter, receiver)."""

# Thermal noise in 1 MHz, and the signal over noise at which half the packets of the 1 Mbit/s PHY are lost.
NOISE_DBM = -114.0
HALF_LOST_SNR_DB = 12.0
FADING_DB = 2.0
"""Small-scale fading, as the width of the curve from lost to received."""

MIN_PDR = 0.02
MAX_PDR = 0.9999
STRONG = 0.98
"""Beyond this PDR the curve says nothing about the signal: a decay begins there, however strong it was."""

DRIFT_PERIOD_S = 10.0
DRIFT_STEP = 0.12
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


class Links:
    """The PDR of every directed link, now.

    `drift` bounds a slow random walk on the logit scale (0: none): 0.5 moves a PDR of 0.9 between 0.85 and
    0.94. A link that was set by hand no longer drifts. `ceiling` is what is left of a perfect signal: the
    rest is lost to others on every link alike. `margins` say how far signals lie above the receiver's
    threshold, in dB; without them that is what goes with the PDR.
    """

    def __init__(
        self,
        pdr: Mapping[LinkKey, float],
        drift: float = 0.0,
        seed: int = 1,
        ceiling: float = 1.0,
        margins: Mapping[LinkKey, float] | None = None,
    ) -> None:
        self._drift = drift
        self._ceiling = ceiling
        self._first = dict(pdr)
        self._margins = margins or {}
        self._by_hand: set[LinkKey] = set()
        self._random = Random(f"drift {seed}")
        self._base = {key: _logit(p) for key, p in sorted(pdr.items()) if 0.0 < p < 1.0}
        self._offset = dict.fromkeys(self._base, 0.0)
        self._decays: dict[LinkKey, Decay] = {}
        self.out: dict[int, dict[int, float]] = {}
        for (a, b), p in sorted(pdr.items()):
            self.out.setdefault(a, {})[b] = p

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return ((a, b, p) for a, receivers in self.out.items() for b, p in receivers.items())

    def pdr(self, transmitter: int, receiver: int) -> float:
        """Chance that one transmission is received."""
        return self.out.get(transmitter, {}).get(receiver, 0.0)

    def set(self, transmitter: int, receiver: int, pdr: float) -> None:
        """Hold a link at a PDR from now on."""
        self._base.pop((transmitter, receiver), None)
        self._decays.pop((transmitter, receiver), None)
        self._by_hand.add((transmitter, receiver))
        self.out.setdefault(transmitter, {})[receiver] = pdr

    def decay(self, transmitter: int, receiver: int, to: float, seconds: float, now: float) -> None:
        """Let a link go to another PDR within `seconds`, and stay there."""
        start = self.pdr(transmitter, receiver)
        self.set(transmitter, receiver, start)
        if seconds <= 0:
            self.set(transmitter, receiver, to)
        else:
            self._decays[transmitter, receiver] = Decay(now, now + seconds, start, to)

    def margin_db(self, transmitter: int, receiver: int, pdr: float) -> float:
        """How far the signal lies above the receiver's threshold when the link has this PDR.

        It moves with the PDR on the curve from lost to received. A signal so strong that only others on the
        air do harm does not move with the link's drift.
        """
        key = (transmitter, receiver)
        first = self._first.get(key, pdr)
        margin = self._margins.get(key)
        if margin is None:
            margin = FADING_DB * self._odds(first)
        if key not in self._by_hand and first >= STRONG * self._ceiling:
            return margin
        return margin + FADING_DB * (self._odds(pdr) - self._odds(first))

    def _odds(self, pdr: float) -> float:
        """Log odds of a reception that nobody disturbs."""
        return _logit(min(STRONG, max(1.0 - STRONG, pdr / self._ceiling)))

    @property
    def decaying(self) -> bool:
        """Whether `move_decays` has something to do."""
        return bool(self._decays)

    def move_decays(self, now: float) -> None:
        """Bring decaying links to where they are at `now`."""
        for (a, b), decay in list(self._decays.items()):
            self.out[a][b] = decay.at(now)
            if now >= decay.end_s:
                del self._decays[a, b]

    def drift(self) -> None:
        """One step of the random walk; due every DRIFT_PERIOD_S."""
        bound = self._drift
        if not bound:
            return
        gauss, offsets = self._random.gauss, self._offset
        for (a, b), base in self._base.items():
            offset = min(bound, max(-bound, offsets[a, b] + gauss(0.0, DRIFT_STEP * bound)))
            offsets[a, b] = offset
            self.out[a][b] = 1.0 / (1.0 + exp(-base - offset))


def pdr_of(scenario: Scenario, loss: float = 0.0) -> dict[LinkKey, float]:
    """PDR of each link of a scenario; pairs that never hear each other are left out.

    `loss` is lost besides, on every link alike (interference from others).
    """
    found = {}
    for (a, b), margin in margins_of(scenario).items():
        pdr = (1.0 - loss) / (1.0 + exp(-max(-100.0, margin / FADING_DB)))
        if pdr >= MIN_PDR:
            found[a, b] = min(pdr, MAX_PDR)
    return found


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
