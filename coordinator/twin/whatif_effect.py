"""What a change would do to each flow, with how sure the twin is of it: values that travel and are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from statistics import fmean, pvariance
from typing import Final

SURE: Final = 1.64
"""Deviations on either side of an interval: 90 %."""


class Method(StrEnum):
    """The models, cheapest first."""

    GRAPH = "graph"
    PERCOLATION = "percolation"
    SIMULATION = "simulation"


class Effect(StrEnum):
    """What is to be expected of a flow."""

    HARMLESS = "harmless"
    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 90 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """A value that follows from what is believed, without chance."""
        return cls(value, value, value)

    @classmethod
    def of(cls, values: Sequence[float], noise: float, low: float = 0.0, high: float = 1.0) -> Estimate:
        """From one value per chosen state of the links; `noise` is the variance that counting adds."""
        mean = fmean(values)
        spread = SURE * sqrt(pvariance(values, mean) + noise)
        return cls(mean, max(low, mean - spread), min(high, mean + spread))


@dataclass(frozen=True, slots=True)
class FlowEffect:
    """One flow before and after. Delivery is 0 to 1, there and back where acknowledged; `change` is their
    difference in the same worlds, surer than either. Latencies (ms: one way, and round trip where
    acknowledged) are mean and 95th percentile; None where they were not simulated or nothing arrived."""

    source: int
    destination: int
    flow_class: str
    acknowledged: bool
    before: Estimate
    after: Estimate
    change: Estimate
    effect: Effect
    latency_before_ms: tuple[float, float] | None = None
    latency_after_ms: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The effects of a change, by the cheapest model that could decide, and why that one. `occupancy` is the
    share of channel time that flows take around a typical node, after the change."""

    flows: tuple[FlowEffect, ...]
    method: Method
    reason: str
    tolerance: float
    occupancy: float
    messages: int = 0

    def of(self, effect: Effect) -> tuple[FlowEffect, ...]:
        """The flows of which that is to be expected."""
        return tuple(flow for flow in self.flows if flow.effect is effect)

    @property
    def is_harmless(self) -> bool:
        """Whether surely no flow ends, or gets worse by more than the tolerance."""
        return not any(self.of(effect) for effect in (Effect.ENDED, Effect.WORSE, Effect.UNDECIDED))


def judge_effect(change: Estimate, tolerance: float) -> Effect:
    """What an estimated change of delivery means."""
    if change.high < -tolerance:
        return Effect.WORSE
    if change.low > tolerance:
        return Effect.BETTER
    return Effect.HARMLESS if change.low >= -tolerance else Effect.UNDECIDED
