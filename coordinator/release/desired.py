"""Telling gateways what they are to run: one retained `desired` message for each of the fleet.

Publishes what differs from what this connection was told already, and everything on a new one, so that
repeating it is harmless. What is waiting to be sent is bounded by the size of the fleet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from common import topics
from common.clock import Clock
from common.errors import Corrupt
from common.logs import get_logger
from common.messages import Desired, ModelReference, encode
from common.topics import Channel
from coordinator.identity.fleet import Fleet
from coordinator.release.registry import Registry

# How soon a change of the fleet by another process, such as an enrolment, is seen.
POLL_S: Final = 1.0

log = get_logger(__name__)


class Line(Protocol):
    """The connection to the broker."""

    @property
    def session(self) -> int | None:
        """A number of its own for every connection; None while there is none."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Queue a message; False while there is no connection."""


def desired_for(registry: Registry, site: str, gateway: str) -> Desired:
    """What a gateway is to run."""
    references, issue = [], 0
    for course in registry.courses.values():
        digest = course.plan.digest_for(site, gateway)
        if digest is not None and (found := registry.holding(digest)) is not None:
            version, bundle = found
            issue += course.issued.get(digest, 0)
            references.append(
                ModelReference(name=version.name, version=version.version, digest=digest, size=bundle.size)
            )
    return Desired(models=references, issue=issue)


def messages(registry: Registry, fleet: Fleet) -> dict[str, bytes]:
    """Topic and payload for every gateway; an empty payload, which clears, for the revoked ones."""
    return {
        topics.of(known.site, gateway, Channel.DESIRED): b""
        if known.revoked
        else encode(desired_for(registry, known.site, gateway))
        for gateway, known in fleet.gateways.items()
    }


class Announcer:
    """Keeps what the broker retains equal to the registry. Belongs to the event loop."""

    def __init__(
        self, line: Line, registry: Callable[[], Registry], fleet: Callable[[], Fleet], clock: Clock
    ) -> None:
        self._line = line
        self._registry = registry
        self._fleet = fleet
        self._clock = clock
        self._known = Fleet()
        self._session: int | None = None
        self._told: dict[str, bytes] = {}
        self._settled: tuple[Registry, Fleet] | None = None

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            self.announce()
            await self._clock.sleep(POLL_S)

    @property
    def reaches(self) -> bool:
        """Whether the broker is there to be told."""
        return self._line.session is not None

    def announce(self) -> int:
        """Publish what is not told yet; how many messages that were."""
        session, registry, fleet = self._line.session, self._registry(), self._current_fleet()
        if session != self._session:
            self._session, self._settled = session, None
            self._told.clear()
        # A registry made anew does not know what is released: gateways keep what the broker retains.
        if session is None or registry.rebuilt:
            return 0
        if self._settled is not None and self._settled[0] is registry and self._settled[1] is fleet:
            return 0
        return self._publish(registry, fleet)

    def _publish(self, registry: Registry, fleet: Fleet) -> int:
        wanted = messages(registry, fleet)
        # A gateway that moved to another site leaves its old topic behind.
        wanted = {**dict.fromkeys(self._told, b""), **wanted}
        count = 0
        for topic, payload in wanted.items():
            if self._told.get(topic) != payload:
                if not self._line.publish(topic, payload, retain=True):
                    return count
                self._told[topic] = payload
                count += 1
        self._settled = (registry, fleet)
        if count:
            log.info("desired-announced", gateways=count, revision=registry.revision)
        return count

    def _current_fleet(self) -> Fleet:
        try:
            self._known = self._fleet()
        except Corrupt as error:
            log.error("fleet-unreadable", error=error)
        return self._known
