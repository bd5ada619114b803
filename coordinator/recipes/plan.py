"""A plan: changes of a site's configuration in safe order, what each is predicted to do, and how to undo it.

Plain values that travel as JSON. Who makes one is `ordering`, who carries it out `application`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from re import compile
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason
from common.mesh.addresses import UNICAST_MAX
from common.mesh.configuration import ConfigurationChange, NodeConfiguration, Transmit
from coordinator.section import Section

MAX_PLAN_BYTES: Final = 16 << 20
MAX_STEPS: Final = 2000
DIGITS: Final = 8
_DIGEST: Final = compile(rf"-([0-9a-f]{{{DIGITS}}})$")

Address = Annotated[int, Field(ge=1, le=UNICAST_MAX)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Timing = tuple[int, int]
"""Transmissions and interval in ms."""


class NodeSetting(Section):
    """What one node is set to; None leaves a value as it is."""

    address: Address
    relay: bool | None = None
    default_ttl: int | None = None
    network_transmit: Timing | None = None
    relay_retransmit: Timing | None = None

    @model_validator(mode="after")
    def _possible(self) -> NodeSetting:
        try:
            if not self.change():
                raise ValueError("a change that changes nothing")
        except MeshtwinError as error:
            raise ValueError(str(error)) from error
        return self

    def change(self) -> ConfigurationChange:
        """As the mesh takes it. Raises Rejected(OUT_OF_RANGE)."""
        return ConfigurationChange(
            relay=self.relay,
            default_ttl=self.default_ttl,
            network_transmit=None if self.network_transmit is None else Transmit(*self.network_transmit),
            relay_retransmit=None if self.relay_retransmit is None else Transmit(*self.relay_retransmit),
        )

    @property
    def sets(self) -> tuple[str, ...]:
        """The names of what it sets."""
        return tuple(sorted(self.model_dump(exclude={"address"}, exclude_none=True)))

    @classmethod
    def of(cls, address: int, change: ConfigurationChange) -> NodeSetting:
        """The inverse of `change`."""
        return cls(
            address=address,
            relay=change.relay,
            default_ttl=change.default_ttl,
            network_transmit=_timing(change.network_transmit),
            relay_retransmit=_timing(change.relay_retransmit),
        )

    def over(self, known: NodeConfiguration) -> NodeConfiguration:
        """A node's configuration after this."""
        change = self.change()
        told = NodeConfiguration(
            self.address,
            change.relay,
            known.relay_supported,
            change.default_ttl,
            change.network_transmit,
            change.relay_retransmit,
        )
        return told.over(known)

    def __str__(self) -> str:
        said = []
        if self.relay is not None:
            said.append("relay on" if self.relay else "relay off")
        if self.default_ttl is not None:
            said.append(f"TTL {self.default_ttl}")
        if self.network_transmit is not None:
            said.append("sends {} x {} ms".format(*self.network_transmit))
        if self.relay_retransmit is not None:
            said.append("repeats {} x {} ms".format(*self.relay_retransmit))
        return f"0x{self.address:04x} {', '.join(said)}"


class FlowForecast(Section):
    """A flow's delivery before and after, with the range in which the latter lies nine times in ten; what is
    to be expected of it (`harmless`, `better`, `worse`, `undecided`, `ended`); and the latency (ms) that 95 %
    of its messages keep afterwards, where it was simulated."""

    source: Address
    destination: Annotated[int, Field(ge=1, le=0xFFFF)]
    before: Share
    after: Share
    low: Share
    high: Share
    effect: str = Field("", max_length=16)
    p95_ms: float | None = None


class PlanStep(Section):
    """Changes that are made together, in this order; `undo` takes them back, in its own.

    `expects` are the nodes that must answer once it is taken. `delivery` is the mean over all flows after
    this step, `worst_delivery` the worst flow's, and `worst_loss` how much the flow loses that loses most
    against the state before the plan.
    """

    title: str = Field(max_length=200)
    changes: tuple[NodeSetting, ...] = Field(min_length=1, max_length=256)
    undo: tuple[NodeSetting, ...] = Field(max_length=256)
    expects: tuple[Address, ...] = Field((), max_length=512)
    delivery: Share
    worst_delivery: Share
    worst_loss: float = Field(ge=-1, le=1, allow_inf_nan=False)


class Plan(Section):
    """What is to be done at a site, and why. Unix seconds."""

    v: Literal[1] = 1
    id: str = Field(min_length=1, max_length=24, pattern="^[a-z0-9-]+$")
    site: str = Field(max_length=64)
    recipe: str = Field(max_length=64)
    made: float = Field(ge=0, allow_inf_nan=False)
    reason: str = Field(max_length=1000)
    vouched: bool = True
    """Whether the twin vouches for its predictions; it refuses while its score is too low."""
    notes: tuple[str, ...] = Field((), max_length=100)
    steps: tuple[PlanStep, ...] = Field((), max_length=MAX_STEPS)
    flows: tuple[FlowForecast, ...] = Field((), max_length=100_000)
    figures: dict[str, float | None] = Field(default_factory=dict, max_length=64)
    """What it is about, before and after, by name: `delivery_before`, `channel_share_after`, and so on."""

    @property
    def touches(self) -> frozenset[int]:
        """The nodes it changes."""
        return frozenset(setting.address for step in self.steps for setting in step.changes)

    @property
    def changes(self) -> int:
        """How many settings it makes."""
        return sum(len(step.changes) for step in self.steps)


def digest_of(site: str, made: float, steps: Iterable[PlanStep]) -> str:
    """What a plan's id ends with: it tells a plan that somebody changed by hand, or that was cut."""
    orders = [
        f"{setting} {way}" for step in steps for way in ("changes", "undo") for setting in getattr(step, way)
    ]
    return sha256("\n".join((site, str(made), *orders)).encode()).hexdigest()[:DIGITS]


def check_whole(plan: Plan) -> None:
    """Raises Rejected for a plan with a change that nothing would put back, or that is not as its recipe made
    it. Ids without a digest are an operator's own."""
    for number, step in enumerate(plan.steps, 1):
        undone = {(setting.address, name) for setting in step.undo for name in setting.sets}
        for setting in step.changes:
            if lacking := [name for name in setting.sets if (setting.address, name) not in undone]:
                raise Rejected(
                    RejectReason.INVALID,
                    f"step {number} has no undo for {lacking[0]} of 0x{setting.address:04x}: make it anew",
                )
    digest = _DIGEST.search(plan.id)
    if digest is not None and digest[1] != digest_of(plan.site, plan.made, plan.steps):
        raise Rejected(
            RejectReason.ALTERED, f"plan {plan.id} is not as its recipe made it: make it anew with the recipe"
        )


def parse(data: bytes | str, name: str = "the plan") -> Plan:
    """A plan from its JSON. Raises Misconfigured naming the key."""
    if len(data) > MAX_PLAN_BYTES:
        raise Misconfigured(f"{name} is larger than {MAX_PLAN_BYTES >> 20} MiB", "name a plan's file")
    try:
        return Plan.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"])) or "it"
        raise Misconfigured(f"{name}: {key}: {first['msg']}"[:500], "make it anew with a recipe") from error
    except RecursionError as error:
        raise Misconfigured(f"{name} is nested too deeply", "make it anew with a recipe") from error


def read(path: Path) -> Plan:
    """The plan in a file. Raises Misconfigured."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"plan {path} cannot be read: {error.strerror}", "name a plan's file") from error
    return parse(data, str(path))


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan's JSON as plain values."""
    plain: dict[str, Any] = json.loads(plan.model_dump_json())
    return plain


def _timing(transmit: Transmit | None) -> Timing | None:
    return None if transmit is None else (transmit.count, transmit.interval_ms)
