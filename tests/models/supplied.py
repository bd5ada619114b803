"""A model supply as an agent has it, over a real server; its errands run in this process, for speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from common.clock import ManualClock
from common.messages import Desired, ModelReference, ModelState
from edge_agent.infer.forecasting import Forecasting
from edge_agent.models.fetch import fetch
from edge_agent.models.request import FetchRequest, Source, TrialRequest
from edge_agent.models.store import Store
from edge_agent.models.supply import ModelSupply
from edge_agent.models.trial import attempt
from edge_agent.observe.links import LinkBook
from tests.models.bundles import Bundle
from tests.models.server import Shelf, source_at

DEADLINE_S = 20.0


class InProcess:
    """What the errands do, without their processes."""

    def __init__(self, store: Store, source: Source) -> None:
        self._store = store
        self._source = source

    async def fetch(self, reference: ModelReference) -> None:
        part = str(self._store.part(reference))
        request = FetchRequest(reference=reference, part=part, source=self._source)
        await asyncio.to_thread(fetch, request.model_dump())

    async def try_part(self, reference: ModelReference) -> None:
        await self._try(reference, self._store.part(reference))

    async def try_held(self, reference: ModelReference) -> None:
        await self._try(reference, self._store.path(reference))

    async def _try(self, reference: ModelReference, path: Path) -> None:
        request = TrialRequest(reference=reference, path=str(path))
        await asyncio.to_thread(attempt, request.model_dump())


class Supplied:
    """A running supply, and what it told."""

    def __init__(self, folder: Path, state: Path, shelf: Shelf, worker: ThreadPoolExecutor) -> None:
        self.clock = ManualClock()
        self.shelf = shelf
        self.book = LinkBook()
        self.forecasting = Forecasting(self.book)
        self.store = Store(folder / "models")
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.changes = 0
        self.supply = ModelSupply(
            self.store,
            InProcess(self.store, source_at(state, shelf.port)),
            self.forecasting,
            worker,
            self.clock,
            Random(1),
            announce=self._tell,
            warn=self._tell,
            changed=self._change,
        )

    def _tell(self, name: str, **fields: Any) -> None:
        self.told.append((name, fields))

    def _change(self) -> None:
        self.changes += 1

    def serve(self, *bundles: Bundle) -> None:
        for bundle in bundles:
            self.shelf.files[bundle.reference.digest] = bundle.content

    def want(self, *bundles: Bundle, issue: int = 1) -> None:
        references = [bundle.reference for bundle in bundles]
        self.supply.want(Desired(models=references, issue=issue).model_dump())

    async def release(self, bundle: Bundle) -> None:
        """Serve and want a bundle, and see it used."""
        self.serve(bundle)
        self.want(bundle)
        await self.until(lambda: bundle.reference in self.used())

    def used(self) -> list[ModelReference]:
        return [one.watch.reference for one in self.supply._loaded.values()]

    def events(self) -> list[str]:
        return [name for name, _ in self.told]

    def states(self) -> dict[int, ModelState]:
        """By version."""
        return {state.version: state for state in self.supply.states()}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the supply work, without any time passing."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {DEADLINE_S} s; told: {self.told}"
            await asyncio.sleep(0.005)


@asynccontextmanager
async def supplied(folder: Path, state: Path, shelf: Shelf) -> AsyncIterator[Supplied]:
    """A supply over the store in `folder`, running until the block ends."""
    with ThreadPoolExecutor(1) as worker:
        made = Supplied(folder, state, shelf, worker)
        async with asyncio.TaskGroup() as owner:
            running = owner.create_task(made.supply.run())
            try:
                yield made
            finally:
                running.cancel()
