"""Keeps this gateway's identity good: watches the certificate's age, sends the errand that renews it, and
puts a changed identity to use, be it renewed or enrolled anew by an operator.

The daemon's part; keys are made and checked in the errand's process (`edge_agent.identity.renew`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Protocol

from common.clock import Clock
from common.errors import MeshtwinError, Misconfigured, Rejected
from common.logs import get_logger
from edge_agent import errand
from edge_agent.config import AgentConfig
from edge_agent.identity.age import Age, age_of, look_again_s, retry_s
from edge_agent.identity.certificate import Certificate
from edge_agent.identity.pair import IDENTITY_FILE, Identity, current

ERRAND: Final = "edge_agent.identity.renew"
PATIENCE_S: Final = 60.0

_log = get_logger(__name__)


class Tell(Protocol):
    """Logs an event and puts it into the durable stream."""

    def __call__(self, name: str, **fields: str | int | float | bool | None) -> None:
        """Tell `name`."""


Send = Callable[[str, dict[str, Any], float], Awaitable[dict[str, Any]]]


class Renewal:
    """Run `run()` in the supervisor. `use` puts an identity to use, or raises Misconfigured; it has been used
    already for `first`."""

    def __init__(
        self,
        config: AgentConfig,
        first: Identity,
        use: Callable[[Identity], None],
        clock: Clock,
        jitter: Random,
        *,
        announce: Tell,
        warn: Tell,
        send: Send = errand.send,
    ) -> None:
        self._config = config
        self._used = first
        self._use = use
        self._clock = clock
        self._spread = jitter.random()
        self._announce = announce
        self._warn = warn
        self._send = send
        self._failures = 0
        self._failure = ""
        self._confirmed = True
        self._told: set[tuple[str, str]] = set()
        if first.lost:
            warn("state-lost", file=IDENTITY_FILE, reason=first.lost[:200])

    @property
    def certificate(self) -> Certificate:
        """The certificate in use."""
        return self._used.facts

    @property
    def age(self) -> Age:
        """How it stands now."""
        return age_of(self.certificate, self._clock.wall(), self._spread)

    def hint(self) -> str:
        """What may be wrong when a server refuses this gateway; empty when the certificate is good."""
        match self.age:
            case Age.EXPIRED:
                return f"this gateway's certificate ended on {_day(self.certificate)}; {self._enrol_again()}"
            case Age.EARLY:
                return "this gateway's certificate is not valid yet: set this machine's clock"
            case _:
                return ""

    def summary(self) -> dict[str, Any]:
        """For `edge-agent status`."""
        return {
            "serial": self.certificate.serial,
            "not_after": self.certificate.not_after,
            "state": self.age.value,
            "renewed": self._used.renewed,
            "problem": self.hint() or self._failure,
        }

    async def run(self) -> None:
        """Watch and renew, until cancelled."""
        while True:
            await self._clock.sleep(await self.look())

    async def look(self) -> float:
        """Do what is to be done now; the seconds until the next look."""
        try:
            self._take_up()
            await self._mend()
        except MeshtwinError as error:
            self._fail(error)
            self._tell_age()
            return retry_s(self.certificate, self._failures)
        self._failures, self._failure = 0, ""
        self._tell_age()
        return look_again_s(self.certificate)

    def _take_up(self) -> None:
        """Put to use what lies on disk now, where it is another identity. Raises Misconfigured."""
        found = current(self._config)
        if found.lost:
            self._warn("state-lost", file=IDENTITY_FILE, reason=found.lost[:200])
        if (found.origin, found.facts) == (self._used.origin, self._used.facts):
            return
        self._use(found)
        # Found rather than asked for: nobody has told the coordinator yet.
        self._used, self._confirmed = found, not found.renewed
        self._announce("certificate-in-use", serial=found.facts.serial, until=_day(found.facts))

    async def _mend(self) -> None:
        """Renew or confirm, where that is due. Raises what the errand raises."""
        if self.age in (Age.DUE, Age.EXPIRING):
            done = await self._send(ERRAND, self._order("renew"), PATIENCE_S)
            self._take_up()
            self._confirmed = bool(done.get("confirmed"))
            self._announce(
                "certificate-renewed", serial=self.certificate.serial, until=_day(self.certificate)
            )
        elif not self._confirmed and self.age is Age.GOOD:
            await self._send(ERRAND, self._order("confirm"), PATIENCE_S)
            self._confirmed = True

    def _order(self, task: str) -> dict[str, Any]:
        config, used = self._config, self._used
        return {
            "task": task,
            "host": config.coordinator_host,
            "port": config.coordinator.port,
            "ca": str(used.ca),
            "certificate": str(used.certificate),
            "key": str(used.key),
            "gateway": config.gateway.id,
            "target": str(config.gateway.state_dir / IDENTITY_FILE),
            "origin": used.origin,
        }

    def _fail(self, error: MeshtwinError) -> None:
        self._failures += 1
        self._failure = (error.problem if isinstance(error, Misconfigured) else str(error))[:200]
        _log.warning("certificate-not-renewed", reason=error, attempt=self._failures)
        if isinstance(error, Rejected):
            self._tell_once("certificate-renewal-refused", reason=self._failure, fix=self._enrol_again())

    def _tell_age(self) -> None:
        match self.age:
            case Age.EXPIRING:
                reason = self._failure or "it was not renewed"
                self._tell_once("certificate-expiring", until=_day(self.certificate), reason=reason)
            case Age.EXPIRED:
                self._tell_once("certificate-expired", until=_day(self.certificate), fix=self._enrol_again())
            case Age.GOOD:
                # A clock that was ahead may have told of an end that is still to come.
                self._told.clear()
            case _:
                pass

    def _tell_once(self, event: str, **fields: str) -> None:
        """Warn of it once for each certificate."""
        mark = event, self.certificate.serial
        if mark not in self._told:
            self._told = {told for told in self._told if told[1] == mark[1]} | {mark}
            self._warn(event, serial=self.certificate.serial, **fields)

    def _enrol_again(self) -> str:
        gateway = self._config.gateway
        return (
            f"run on the server: coordinator gateways enrol {gateway.site} {gateway.id} --again, "
            "and copy certificate and key to this gateway"
        )


def _day(certificate: Certificate) -> str:
    return datetime.fromtimestamp(certificate.not_after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
