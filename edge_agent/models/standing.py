"""Watches how models in use fare against the naive forecast, and says it once."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from common.messages import ModelReference, ModelState
from edge_agent.infer.score import Standing, State

Announce = Callable[..., None]


class Watch:
    """One loaded model. Each of its events is announced once: the status tells how it fares from then on."""

    def __init__(self, reference: ModelReference) -> None:
        self.reference = reference
        self._state = State.TRIAL
        self._announced: set[State] = set()

    def look(self, standing: Standing | None, announce: Announce, warn: Announce) -> bool:
        """Compare with what was seen before; whether the state changed."""
        if standing is None or standing.state is self._state:
            return False
        self._state = standing.state
        if standing.state not in self._announced and standing.state is not State.TRIAL:
            self._announced.add(standing.state)
            tell = warn if standing.state is State.WORSE else announce
            tell(
                f"model-{standing.state.value}",
                model=self.reference.name,
                version=self.reference.version,
                digest=self.reference.digest,
                error=_rounded(standing.error),
                naive_error=_rounded(standing.naive_error),
                windows=standing.windows,
            )
        return True


def state_of(reference: ModelReference, standing: Standing | None) -> ModelState:
    """A loaded model as the status tells it."""
    if standing is None:
        return ModelState(
            name=reference.name, version=reference.version, digest=reference.digest, state="trial"
        )
    return ModelState(
        name=reference.name,
        version=reference.version,
        digest=reference.digest,
        state=standing.state.value,
        error=_rounded(standing.error),
        naive_error=_rounded(standing.naive_error),
        windows=standing.windows,
    )


def _rounded(error: float) -> float | None:
    return round(error, 5) if isfinite(error) else None
