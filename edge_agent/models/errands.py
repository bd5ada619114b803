"""Sends the errands that fetch and try bundles, and judges how they end.

Names their modules only: what they import is not for the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from common.errors import Rejected, RejectReason, TimedOut, Unavailable
from common.messages import ModelReference
from edge_agent import errand
from edge_agent.models.request import (
    FETCH_PATIENCE_S,
    TRIAL_PATIENCE_S,
    FetchRequest,
    Source,
    TrialRequest,
)
from edge_agent.models.store import Store

FETCH: Final = "edge_agent.models.fetch"
TRIAL: Final = "edge_agent.models.trial"


class Errands:
    """Brings bundles into `store`, and tries them. `source` is asked anew each time: identities are renewed.

    It may raise Misconfigured.
    """

    def __init__(self, store: Store, source: Callable[[], Source], trial: str = TRIAL) -> None:
        self._store = store
        self._source = source
        self._trial = trial

    async def fetch(self, reference: ModelReference) -> None:
        """Fill the bundle's part, with checked content.

        Raises Unavailable and TimedOut (ask again, the part goes on), Rejected, Misconfigured.
        """
        part = str(self._store.part(reference))
        request = FetchRequest(reference=reference, part=part, source=self._source())
        with _starting():
            await errand.send(FETCH, request.model_dump(), FETCH_PATIENCE_S)

    async def try_part(self, reference: ModelReference) -> None:
        """Try a fetched bundle. Raises Rejected, NotSupported, Unavailable."""
        await self._try(reference, str(self._store.part(reference)))

    async def try_held(self, reference: ModelReference) -> None:
        """Try a bundle of the store. Raises Rejected, NotSupported, Unavailable."""
        await self._try(reference, str(self._store.path(reference)))

    async def _try(self, reference: ModelReference, path: str) -> None:
        request = TrialRequest(reference=reference, path=path)
        with _starting(), _ending():
            await errand.send(self._trial, request.model_dump(), TRIAL_PATIENCE_S)


@contextmanager
def _ending() -> Iterator[None]:
    """Nothing but the bundle ends this process without an answer, or keeps it busy for so long."""
    try:
        yield
    except (Unavailable, TimedOut) as error:
        raise Rejected(RejectReason.WRONG_OUTPUT, str(error)) from error


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"no process could be started: {error.strerror}") from error
