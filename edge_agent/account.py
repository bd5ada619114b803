"""What a gateway tells of itself: to peers and coordinator, to the operator, and to the service manager.

Reads the parts and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common import __version__
from common.clock import Clock
from common.messages import Status
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig
from edge_agent.identity.renewal import Renewal
from edge_agent.models.supply import ModelSupply
from edge_agent.observe.host import HostObserver
from edge_agent.share.mqtt import BrokerLine
from edge_agent.share.outbox import Outbox
from edge_agent.share.peers import SitePeers
from edge_agent.tasks.reception import TaskReception


@dataclass(frozen=True, slots=True)
class Account:
    """The parts that are told about."""

    config: AgentConfig
    clock: Clock
    agent: Agent
    outbox: Outbox
    line: BrokerLine
    peers: SitePeers
    host: HostObserver
    models: ModelSupply
    renewal: Renewal
    tasks: TaskReception

    def status(self) -> Status:
        """What peers and the coordinator hear."""
        alive, known = self.agent.counts()
        acting = self.agent.acting and self.config.tier == "gateway"
        homes: dict[str, list[int]] = {}
        if acting:
            for node, home in sorted(self.agent.decider.homes.items()):
                homes.setdefault(home, []).append(node)
        return Status(
            site=self.config.gateway.site,
            gateway=self.config.gateway.id,
            time=self.clock.wall(),
            online=True,
            period_s=self.config.status.period_s,
            version=__version__,
            address=self.config.gateway.address or None,
            link=self.config.mesh.link,
            mesh_up=self.agent.site.mesh_up,
            acting=acting,
            epoch=self.outbox.epoch,
            oldest=self.outbox.acked + 1,
            queued=self.outbox.queued,
            dropped=self.outbox.dropped,
            nodes_alive=alive,
            nodes_known=known,
            cpu_percent=self.host.last.get("cpu_percent"),
            memory_percent=self.host.last.get("memory_percent"),
            probe_period_s=self.agent.monitoring.period_s,
            forecaster=self.agent.forecasting.best,
            models=self.models.states(),
            homes=homes,
            relays=sorted(self.agent.site.relays()),
            tasks=self.tasks.load(),
            jobs=self.tasks.jobs(),
            tier=self.config.tier,
        )

    def summary(self) -> dict[str, Any]:
        """What `edge-agent status` shows."""
        view = self.peers.view()
        return {
            **self.agent.summary(),
            "tier": self.config.tier,
            **({"mesh": "none"} if self.config.tier == "mec" else {}),
            "models": [state.model_dump() for state in self.models.states()],
            "version": __version__,
            "broker": self._broker(),
            "certificate": self.renewal.summary(),
            "tasks": self.tasks.summary(),
            "peers": {name: name in view.live for name in sorted(view.known)},
            "outbox": {
                "epoch": f"{self.outbox.epoch:016x}",
                "queued": self.outbox.queued,
                "acknowledged": self.outbox.acked,
                "dropped": self.outbox.dropped,
                "trouble": self.outbox.trouble,
            },
            "host": {name: round(value, 3) for name, value in self.host.last.items() if value == value},
        }

    def story(self) -> str:
        """One line for the service manager."""
        alive, known = self.agent.counts()
        mesh = f"{alive} of {known} nodes alive" if self.agent.site.mesh_up else "mesh down"
        role = self.agent.loop.role.value
        return f"{mesh}, {role}, broker {self._broker()}, {self.outbox.queued} messages waiting"

    def _broker(self) -> str:
        if not self.line.connected:
            return f"away: {self.line.complaints.reason}" if self.line.complaints.reason else "away"
        return "refuses this gateway (revoked? enrol it again)" if self.line.unwelcome else "connected"
