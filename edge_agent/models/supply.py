"""Keeps the gateway's models as the coordinator wants them, and as well as it can without the coordinator.

A bundle is fetched and tried by errands, loaded in the worker's thread, and only then takes the old one's
place. Whatever goes wrong on the way, the old one stays in use. What a forecast is used for, and which one,
is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from common.clock import Clock
from common.errors import (
    Corrupt,
    MeshtwinError,
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)
from common.logs import get_logger
from common.messages import Desired, ModelReference, ModelState
from common.tasks import together
from edge_agent.infer.forecasting import Forecasting
from edge_agent.infer.model_forecaster import ModelForecaster, load
from edge_agent.models import desired as wishes
from edge_agent.models.standing import Announce, Watch, state_of
from edge_agent.models.store import Store

WATCH_S: Final = 1.0
RETRY_FIRST_S: Final = 2.0
RETRY_LAST_S: Final = 600.0
RETRY_REFUSED_S: Final = 3600.0
"""The coordinator's file may have been mended since, or the gateway's packages."""

MAX_STATES: Final = 16
"""As many as a status may hold."""

_log = get_logger(__name__)


class Bringing(Protocol):
    """How bundles come: `edge_agent.models.errands`."""

    async def fetch(self, reference: ModelReference) -> None:
        """Fill the bundle's part. Raises Unavailable, TimedOut, Rejected, Misconfigured."""

    async def try_part(self, reference: ModelReference) -> None:
        """Try a fetched bundle. Raises Rejected, NotSupported, Unavailable."""

    async def try_held(self, reference: ModelReference) -> None:
        """Try a bundle of the store. Raises Rejected, NotSupported, Unavailable."""


@dataclass(slots=True)
class _Trouble:
    """Why a wanted bundle is not in use, and when it is tried again (monotonic)."""

    reason: str
    refused: bool
    again_at: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A bundle in use."""

    watch: Watch
    forecaster: ModelForecaster


class ModelSupply:
    """Run `run()` in the supervisor, and give it each `desired` map by `want`.

    `announce` and `warn` put events into the durable stream; `changed` is called when the status should be
    published at once.
    """

    def __init__(
        self,
        store: Store,
        bringing: Bringing,
        forecasting: Forecasting,
        worker: Executor,
        clock: Clock,
        jitter: Random,
        announce: Announce,
        warn: Announce,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._bringing = bringing
        self._forecasting = forecasting
        self._worker = worker
        self._clock = clock
        self._jitter = jitter
        self._announce = announce
        self._warn = warn
        self._changed = changed
        self._desired: Desired | None = None
        self._loaded: dict[str, _Loaded] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._wake = asyncio.Event()

    def want(self, value: Mapping[str, Any]) -> None:
        """Take in what the coordinator wants. Raises Rejected, with nothing changed."""
        desired = wishes.read(value)
        if desired != self._desired:
            self._desired = desired
            # What was refused is tried anew as well: somebody released it again, or changed something else.
            self._troubles = {}
            self._wake.set()

    async def run(self) -> None:
        """Serve until cancelled. Raises Unavailable when no process can be started for what is held."""
        async with together() as tasks:
            tasks.create_task(self._watch())
            await self._use_held()
            while True:
                await self._follow()
                await self._wake.wait()
                self._wake.clear()

    def states(self) -> list[ModelState]:
        """Every model in use or wanted, for the status."""
        loaded = [
            state_of(one.watch.reference, self._forecasting.standing(name))
            for name, one in self._loaded.items()
        ]
        return [*loaded, *map(self._missing_state, self._missing())][:MAX_STATES]

    def _missing_state(self, reference: ModelReference) -> ModelState:
        trouble = self._troubles.get(reference.digest)
        return ModelState(
            name=reference.name,
            version=reference.version,
            digest=reference.digest,
            state="refused" if trouble is not None and trouble.refused else "fetching",
            reason="" if trouble is None else trouble.reason[:200],
            retry_s=None if trouble is None else self._until(trouble.again_at),
        )

    def _until(self, again_at: float) -> float:
        """Whole seconds from now."""
        return float(round(max(0.0, again_at - self._clock.monotonic())))

    def _missing(self) -> list[ModelReference]:
        used = {name: one.watch.reference for name, one in self._loaded.items()}
        return [] if self._desired is None else wishes.missing(self._desired, used)

    async def _use_held(self) -> None:
        """Take up what an earlier run left, the newest good bundle of each name."""
        for reference in self._store.held():
            if reference.name in self._loaded:
                continue
            try:
                content = self._store.read(reference)
                await self._bringing.try_held(reference)
                await self._load(reference, content)
            except Corrupt as error:
                self._warn("state-lost", file=self._store.path(reference).name[:64], reason=str(error)[:200])
            except (Rejected, NotSupported) as error:
                self._store.set_aside(reference)
                self._refuse(reference, error)

    async def _follow(self) -> None:
        """Do what `desired` asks for and is due."""
        if self._desired is None:
            return
        for name in wishes.unwanted(self._desired, list(self._loaded)):
            self._drop(name)
        for reference in self._missing():
            trouble = self._troubles.get(reference.digest)
            if trouble is None or trouble.again_at <= self._clock.monotonic():
                await self._obtain(reference)
        self._tidy()

    async def _obtain(self, reference: ModelReference) -> None:
        """Bring one bundle, try it and use it; or note why not."""
        try:
            if reference.name not in wishes.USES:
                raise Rejected(RejectReason.UNKNOWN_KIND, f"no use for a model named {reference.name}")
            await self._bring(reference)
            await self._load(reference, self._store.read(reference))
        except (Rejected, NotSupported) as error:
            self._refuse(reference, error)
        except (Unavailable, TimedOut, Misconfigured, Corrupt) as error:
            self._postpone(reference, error)

    async def _bring(self, reference: ModelReference) -> None:
        if self._store.path(reference).exists():
            await self._bringing.try_held(reference)
            return
        self._store.open()
        await self._bringing.fetch(reference)
        await self._bringing.try_part(reference)
        self._store.accept(reference)

    async def _load(self, reference: ModelReference, content: bytes) -> None:
        model = await load(content, self._worker)
        forecaster = ModelForecaster(model, self._worker)
        self._forecasting.add(forecaster)
        self._loaded[reference.name] = _Loaded(Watch(reference), forecaster)
        self._troubles.pop(reference.digest, None)
        self._announce(
            "model-loaded",
            model=reference.name,
            version=reference.version,
            precision=model.metadata.precision,
            digest=reference.digest,
        )
        self._changed()

    def _drop(self, name: str) -> None:
        loaded = self._loaded.pop(name)
        self._forecasting.remove(name)
        self._announce("model-dropped", model=name, version=loaded.watch.reference.version)
        self._changed()

    def _refuse(self, reference: ModelReference, error: MeshtwinError) -> None:
        before = self._troubles.get(reference.digest)
        reason = str(error)
        again_at = self._clock.monotonic() + RETRY_REFUSED_S
        self._troubles[reference.digest] = _Trouble(reason, True, again_at, RETRY_FIRST_S)
        if before is None or before.reason != reason:
            self._warn(
                "model-refused",
                model=reference.name,
                version=reference.version,
                digest=reference.digest,
                reason=reason[:200],
            )
            self._changed()

    def _postpone(self, reference: ModelReference, error: MeshtwinError) -> None:
        before = self._troubles.get(reference.digest)
        pause = RETRY_FIRST_S if before is None else min(RETRY_LAST_S, before.pause_s * 2)
        again_at = self._clock.monotonic() + pause * self._jitter.uniform(0.7, 1.3)
        self._troubles[reference.digest] = _Trouble(str(error), False, again_at, pause)
        if before is None:
            self._warn(
                "model-unavailable", model=reference.name, version=reference.version, reason=str(error)[:200]
            )

    def _tidy(self) -> None:
        """Keep what is in use, and parts of what is still to come."""
        used = [one.watch.reference for one in self._loaded.values()]
        coming = [
            reference
            for reference in self._missing()
            if (trouble := self._troubles.get(reference.digest)) is not None and not trouble.refused
        ]
        try:
            self._store.keep([*used, *coming])
        except Misconfigured as error:
            # Nothing depends on it: what is kept too long is a few hundred kilobytes.
            _log.warning("models-not-tidied", reason=error)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(WATCH_S)
            for name, one in list(self._loaded.items()):
                self._look(name, one)
            if self._is_due():
                self._wake.set()

    def _is_due(self) -> bool:
        """Whether a bundle that could not be brought is to be tried again."""
        now = self._clock.monotonic()
        found = (self._troubles.get(reference.digest) for reference in self._missing())
        return any(trouble is not None and trouble.again_at <= now for trouble in found)

    def _look(self, name: str, one: _Loaded) -> None:
        if one.forecaster.failure is not None:
            self._loaded.pop(name)
            self._forecasting.remove(name)
            self._refuse(one.watch.reference, one.forecaster.failure)
        elif one.watch.look(self._forecasting.standing(name), self._announce, self._warn):
            self._changed()
