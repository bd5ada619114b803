"""A model as a forecaster. It works in a thread of its own; the event loop only hands it new windows and
picks up what it made of earlier ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from math import isfinite
from typing import Final

from common.errors import MeshtwinError, Rejected, RejectReason
from common.mesh.graph import LinkKey
from common.models import link_forecast
from common.models.container import check_schema, read_metadata
from common.models.metadata import Metadata
from edge_agent.infer.expectation import Expectation, expectation
from edge_agent.infer.runtime import Interpreter, check_golden
from edge_agent.observe import history
from edge_agent.observe.links import LinkBook

LINKS_AT_ONCE: Final = 4096
"""Links of one batch; those with the newest windows first, the rest is served when they have new ones."""

_PRUNE_EVERY: Final = 100
_USUAL_WINDOW_S: Final = 10.0
"""The age unit while no link was reported twice: every age is 0 then."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that reproduces its golden vectors, ready to run."""

    metadata: Metadata
    interpreter: Interpreter


async def load(model: bytes, worker: Executor) -> LoadedModel:
    """A model made ready and tried on its golden vectors in `worker`.

    Raises Rejected (as `read_metadata`, `check_schema` and `check_golden` do) and NotSupported.
    """
    return await asyncio.get_running_loop().run_in_executor(worker, prepare, model)


def prepare(model: bytes) -> LoadedModel:
    """Like `load`, here and now."""
    metadata = read_metadata(model)
    check_schema(metadata)
    interpreter = Interpreter(model)
    if (interpreter.inputs, interpreter.outputs) != (metadata.inputs, metadata.outputs):
        raise Rejected(
            RejectReason.WRONG_OUTPUT,
            f"the model has {interpreter.inputs} inputs, {interpreter.outputs} outputs",
        )
    check_golden(interpreter, metadata.golden)
    return LoadedModel(metadata, interpreter)


class ModelForecaster:
    """Forecasts links with new windows, one batch at a time, in `worker`: an executor of one thread.

    `failure` is what ended it: a model that fails once is not asked again, and speaks of no link.
    """

    def __init__(
        self,
        model: LoadedModel,
        worker: Executor,
    ) -> None:
        self.name = model.metadata.name
        self.failure: MeshtwinError | None = None
        self.nonsense = 0
        """Outputs that were no numbers: their links were left to the naive forecast."""
        self._interpreter = model.interpreter
        self._worker = worker
        self._batch: Future[dict[LinkKey, Expectation | None]] | None = None
        self._batches = 0
        self._seen = 0
        self._expected: dict[LinkKey, Expectation] = {}

    def forecast(self, links: LinkBook) -> Mapping[LinkKey, Expectation]:
        """What is known by now; never waits. With an executor that works at once, all of it."""
        self._pick_up(links)
        if self._batch is None and self.failure is None:
            self._hand_over(links)
            self._pick_up(links)
        return self._expected

    def _hand_over(self, links: LinkBook) -> None:
        keys = links.updated_since(self._seen)[:LINKS_AT_ONCE]
        self._seen = links.windows
        if keys:
            packed = [(key, links[key].packed) for key in keys]
            window_s = links.window_s() or _USUAL_WINDOW_S
            self._batch = self._worker.submit(self._work, packed, window_s)

    def _pick_up(self, links: LinkBook) -> None:
        if self._batch is None or not self._batch.done():
            return
        batch, self._batch = self._batch, None
        try:
            made = batch.result()
        except MeshtwinError as error:
            self.failure = error
            self._expected = {}
            return
        self._batches += 1
        for key, expected in made.items():
            if expected is None:
                self.nonsense += 1
                self._expected.pop(key, None)
            else:
                self._expected[key] = expected
        if self._batches % _PRUNE_EVERY == 0:
            self._expected = {key: expected for key, expected in self._expected.items() if key in links}

    def _work(
        self, packed: Sequence[tuple[LinkKey, bytes]], window_s: float
    ) -> dict[LinkKey, Expectation | None]:
        """In the worker's thread. None for a link whose output is no number."""
        rows = [link_forecast.encode(history.windows(windows), window_s) for _, windows in packed]
        outputs = self._interpreter.run(rows)
        return {key: _expected(output) for (key, _), output in zip(packed, outputs, strict=True)}


def _expected(output: Sequence[float]) -> Expectation | None:
    return expectation(link_forecast.decode(output)) if all(map(isfinite, output)) else None
