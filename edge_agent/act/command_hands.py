"""What a command is carried out with: this gateway's link, its view of the site, its executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from common.clock import Clock
from common.errors import Rejected, TimedOut
from common.logs import get_logger
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from common.policy.actions import Action
from edge_agent.act.executor import Executor
from edge_agent.observe.probe import ANSWER_TIMEOUT_S, Prober
from edge_agent.observe.site import SiteView
from firmware_bridge.link import MeshLink

log = get_logger(__name__)


class SiteHands:
    """The `Hands` of a running agent. `may_command` as there."""

    def __init__(
        self,
        link: MeshLink,
        site: SiteView,
        prober: Prober,
        executor: Executor,
        clock: Clock,
        may_command: Callable[[frozenset[int]], tuple[bool, str]],
    ) -> None:
        self._link = link
        self._site = site
        self._prober = prober
        self._executor = executor
        self._clock = clock
        self.may_command = may_command

    def known(self) -> Mapping[int, NodeConfiguration]:
        return self._site.nodes.configurations()

    def excused(self) -> frozenset[int]:
        """Nodes held dead, and the gateway itself, which cannot be asked over its own air."""
        return self._site.nodes.dead() | {self._site.gateway}

    def offer(self, action: Action, action_id: str) -> bool:
        return self._executor.offer(action, action_id)

    async def read(self, address: int) -> None:
        configuration = await self._link.configure(address, ConfigurationChange())
        self._site.observe_configuration(configuration, self._clock.monotonic())

    async def ask(self, address: int) -> float | None:
        try:
            return await self._prober.round_trip(address, ANSWER_TIMEOUT_S)
        except TimedOut:
            self._site.unanswered(address)
        except Rejected as error:
            log.debug("question-not-sent", node=address, reason=error)
        return None
