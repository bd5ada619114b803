"""One gateway's mind: the stages wired together over any link, clock and stream. Names no concrete class of
link or transport; `app` chooses those."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from math import isnan
from typing import Any, Protocol

from common.clock import Clock
from common.errors import Corrupt
from common.logs import get_logger
from common.mesh.addresses import show
from common.mesh.cdb import SiteFile
from common.mesh.site_changes import SiteChanges
from common.messages import Event, Kind, encode
from common.policy.actions import Action
from common.policy.lease import Role
from common.policy.service import Service
from edge_agent.act.command_hands import SiteHands
from edge_agent.act.command_ledger import Ledger
from edge_agent.act.commands import Commands
from edge_agent.act.diary import Diary
from edge_agent.act.executor import Executor, State
from edge_agent.act.journal import Entry, Journal
from edge_agent.act.monitoring import Monitoring
from edge_agent.config import AgentConfig
from edge_agent.decide.agreement import HOMES_FILE, Agreement, Peers
from edge_agent.decide.decider import Decider
from edge_agent.decide.loop import DecisionLoop
from edge_agent.infer.forecasting import Forecasting
from edge_agent.observe.nodes import NodeRecord
from edge_agent.observe.probe import Prober
from edge_agent.observe.reader import EventReader
from edge_agent.observe.site import SiteView
from edge_agent.observe.survey import Survey
from edge_agent.observe.telemetry import Telemetry
from edge_agent.operator import Operator
from firmware_bridge.link import MeshLink


class Stream(Protocol):
    """Where the agent's durable stream goes: the outbox."""

    def append(self, kind: Kind, body: bytes, time: float) -> int:
        """Add an entry to the stream; its sequence."""


class Agent:
    """The stages of one gateway. Run every coroutine of `parts`, each in its own task."""

    def __init__(
        self,
        config: AgentConfig,
        link: MeshLink,
        site_file: SiteFile | None,
        stream: Stream,
        peers: Peers,
        clock: Clock,
        new_run: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        self._config = config
        self._clock = clock
        self._stream = stream
        self._peers = peers
        self._log = get_logger(__name__, gateway=config.gateway.id)
        self.site = SiteView(
            config.gateway.address, site_file, clock.monotonic(), config.monitoring.window_s * 1.2
        )
        self.forecasting = Forecasting(self.site.links, config.policy.forecast)
        self.decider = Decider(
            config.gateway.id,
            self.site,
            config.policy.delivery_need,
            config.status.period_s,
            config.policy.confirm_s,
        )
        wake = asyncio.Event()
        self.prober = Prober(link, self.site, clock)
        self.operator = Operator(link, self.site, self.prober, clock, self.announce)
        self.diary = Diary(stream.append, clock, self._log)
        self._journal = Journal(config.gateway.state_dir / "actions.json")
        self.executor = Executor(
            link,
            self.site,
            self.prober,
            self._journal,
            clock,
            announce=self._tell_action,
            may_act=self._may_act,
            refuse=self._refuse,
            new_id=self._new_id,
        )
        hands = SiteHands(link, self.site, self.prober, self.executor, clock, self._may_command)
        self.commands = Commands(
            hands, Ledger(config.gateway.state_dir / "commands.json"), clock, stream.append
        )
        self.reader = EventReader(link, self.site, wake, self.forecasting.score, self.announce, clock)
        self.loop = DecisionLoop(
            self.decider,
            self.forecasting,
            self.prober,
            clock,
            wake,
            view=peers.view,
            pending=lambda: self.executor.pending,
            offer=self.executor.offer,
            propose=self._propose,
            announce=self.announce,
            dry_run=config.policy.dry_run,
        )
        self._telemetry = Telemetry(
            self.site,
            self.forecasting,
            clock,
            stream.append,
            service=lambda: self.decider.service(peers.view()),
            homes=lambda: self.decider.homes,
        )
        self._survey = Survey(self.prober, self.site, clock, busy=lambda: bool(self.executor.pending))
        self.monitoring = Monitoring(
            link, self.site, config.monitoring, clock, may_set=lambda: self.loop.role is not Role.PROPOSER
        )
        # Not of the time alone: without a battery-backed clock, runs begin at the same time.
        self._run = f"{int(clock.wall() * 1000):x}{new_run():08x}"
        self._numbered = 0
        self._resumed: list[Entry] = []
        self.on_action: Callable[[], None] = lambda: None
        """Called after every step of an action: peers want to know."""
        homes_file = config.gateway.state_dir / HOMES_FILE
        self._agreement = Agreement(self.decider, peers, clock, homes_file, lambda: self.acting)

    @property
    def acting(self) -> bool:
        """Whether this gateway holds the site's lease."""
        return self.loop.role is Role.ACTOR

    def recover(self) -> None:
        """Take up what an earlier run left on disk. Damaged files are set aside and said."""
        try:
            self._agreement.recover()
        except Corrupt as error:
            self.warn("state-lost", file=HOMES_FILE, reason=str(error)[:200])
        try:
            self._resumed = self._journal.load()
        except Corrupt as error:
            self.warn("state-lost", file="actions.json", reason=str(error)[:200])
        self._recover_commands()
        for entry in self._resumed:
            self.diary.tell(entry.id, entry.action, "applied", "taken up after a restart", None)

    def _recover_commands(self) -> None:
        """What the operator ordered and saw ended is not touched again, though the journal still holds it."""
        try:
            over = self.commands.recover({entry.id for entry in self._resumed})
        except Corrupt as error:
            self.warn("state-lost", file="commands.json", reason=str(error)[:200])
            return
        for action_id in over:
            self._journal.close(action_id)
        self._resumed = [entry for entry in self._resumed if entry.id not in over]

    def adopt_site_file(self, site_file: SiteFile, changes: SiteChanges) -> None:
        """Follow a site file that was edited."""
        self.site.adopt(site_file, changes, self._clock.monotonic())
        for address in changes.removed:
            self.decider.homes.pop(address, None)

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The coroutines to run, by name."""
        return {
            "reader": self.reader.run,
            "decisions": self.loop.run,
            "executor": lambda: self.executor.run(self._resumed),
            "commands": self.commands.run,
            "telemetry": self._telemetry.run,
            "survey": self._survey.run,
            "agreement": self._agreement.run,
            "monitoring": self.monitoring.run,
        }

    def _tell_action(
        self, action_id: str, action: Action, state: State, detail: str, seconds: float | None
    ) -> None:
        self.commands.told(action_id, state, detail, seconds)
        self.diary.tell(action_id, action, state, detail, seconds)
        self.on_action()

    def announce(self, name: str, **fields: str | int | float | bool | None) -> None:
        """Log an event and put it into the durable stream."""
        self._log.info(name, **fields)
        self._record(name, **fields)

    def warn(self, name: str, **fields: str | int | float | bool | None) -> None:
        """Like `announce`, for what the operator should look at."""
        self._log.warning(name, **fields)
        self._record(name, **fields)

    def _record(self, name: str, **fields: str | int | float | bool | None) -> None:
        self._stream.append(Kind.EVENT, encode(Event(name=name, fields=fields)), self._clock.wall())

    def summary(self) -> dict[str, Any]:
        """What the agent thinks, for `edge-agent status`."""
        service = self.decider.service(self._peers.view())
        scores = {
            name: None if isnan(error) else round(error, 4) for name, error in self.forecasting.errors.items()
        }
        return {
            "site": self._config.gateway.site,
            "gateway": self._config.gateway.id,
            "address": show(self.site.gateway),
            "mesh": "up" if self.site.mesh_up else f"down: {self.site.down_reason}",
            "role": self.loop.role.value,
            "learned": self.site.learned(self._clock.monotonic()),
            "learning": self.site.learning(self._clock.monotonic()),
            "forecaster": self.forecasting.best,
            "forecast_error": scores,
            "actions_confirmed": self.diary.confirmed,
            "actions_pending": [action.cause for action in self.executor.pending],
            "actions_recent": self.diary.recent(),
            "delivery_need": self._config.policy.delivery_need,
            "dry_run": self._config.policy.dry_run,
            "nodes": [
                self._node_row(address, record, service)
                for address, record in sorted(self.site.nodes.items())
            ],
            "reports_per_s": round(self.reader.reports_per_s(self._clock.monotonic()), 2),
            "links": sum(1 for _ in self.site.links.items()),
        }

    def counts(self) -> tuple[int, int]:
        """(nodes alive, nodes known)."""
        dead = len(self.site.nodes.dead())
        return len(self.site.nodes) - dead, len(self.site.nodes)

    def _node_row(self, address: int, record: NodeRecord, service: Service) -> dict[str, Any]:
        return {
            "address": show(address),
            "name": record.name,
            "relay": record.configuration.relay,
            "alive": record.dead_since is None,
            "delivery": round(service.of(address), 3),
            "hops": service.hops.get(address),
            "home": self.decider.homes.get(address, ""),
            "silent_s": round(self._clock.monotonic() - record.heard_at, 1),
        }

    def _may_act(self, action: Action) -> bool:
        """Still the one to act: the site's actor, or alone and at home with all of the action's nodes."""
        state_role = self.loop.role
        return state_role is Role.ACTOR or (
            state_role is Role.ALONE and action.touches <= self.decider.changeable(self._peers.view())
        )

    def _may_command(self, touches: frozenset[int]) -> tuple[bool, str]:
        """Whether these nodes are this gateway's to change on the operator's word, and who acts instead."""
        view = self._peers.view()
        if self._config.policy.dry_run:
            return False, ""
        if self.loop.role is Role.PROPOSER:
            return False, min(view.live, default="")
        return self.loop.role is Role.ACTOR or touches <= self.decider.changeable(view), ""

    def _refuse(self, nodes: frozenset[int]) -> None:
        self.decider.refuse(nodes, self._clock.monotonic() + self._config.policy.cooldown_s)

    def _new_id(self) -> str:
        """Unique over the fleet, and over the runs of this agent, whatever became of its files."""
        self._numbered += 1
        return f"{self._config.gateway.id[:40]}-{self._run}-{self._numbered}"

    def _propose(self, action: Action) -> None:
        self.diary.tell(self._new_id(), action, "proposed", "another gateway acts", None)
