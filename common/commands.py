"""What the coordinator orders of a gateway on its `command` topic, and what the gateway answers in its
durable stream (kind `result`).

A command has an id, a kind and an expiry. The coordinator repeats it until its result is stored; the gateway
keeps the ids that it took for longer than their expiry, so that a repetition is never carried out again.
Nothing here can name any other change of a node than `common.mesh.configuration` knows.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from common.errors import Rejected, RejectReason
from common.mesh.configuration import ConfigurationChange, Transmit
from common.messages import SCHEMA_VERSION, Address, Count, Message, UnixTime
from common.record import Field

MAX_STEPS: Final = 256
MAX_NODES: Final = 512
MAX_QUESTIONS: Final = 50
LONGEST_LIFE_S: Final = 6 * 3600.0
"""A command may expire this long after it was issued, not later: ids are kept no longer than that on disk."""

Id = Annotated[str, Field(min_length=1, max_length=48, pattern="^[a-zA-Z0-9_.-]+$")]
Timing = Annotated[list[int], Field(min_length=2, max_length=2)]


class NodeChange(Message):
    """One node's change; what is None stays. Timings are [transmissions, interval in ms]."""

    address: Address
    relay: bool | None = None
    default_ttl: int | None = None
    network_transmit: Timing | None = None
    relay_retransmit: Timing | None = None

    def change(self) -> ConfigurationChange:
        """As the mesh link takes it. Raises Rejected(OUT_OF_RANGE)."""
        return ConfigurationChange(
            relay=self.relay,
            default_ttl=self.default_ttl,
            network_transmit=_transmit(self.network_transmit),
            relay_retransmit=_transmit(self.relay_retransmit),
        )

    @classmethod
    def of(cls, address: int, change: ConfigurationChange) -> NodeChange:
        """The inverse of `change`."""
        return cls(
            address=address,
            relay=change.relay,
            default_ttl=change.default_ttl,
            network_transmit=_timing(change.network_transmit),
            relay_retransmit=_timing(change.relay_retransmit),
        )


class Command(Message):
    """An order.

    `configure` takes `steps` in their order and expects that every one of `nodes` then answers within
    `window_s`; where one does not, everything is undone. `probe` asks each of `nodes` `times` times for a
    round trip and changes nothing. Times are the coordinator's Unix time.
    """

    v: Literal[1] = SCHEMA_VERSION
    id: Id
    kind: Literal["configure", "probe"]
    issued: UnixTime
    expires: UnixTime
    cause: str = Field(default="", max_length=200)
    steps: list[NodeChange] = Field(default_factory=list, max_length=MAX_STEPS)
    nodes: list[Address] = Field(default_factory=list, max_length=MAX_NODES)
    window_s: float = Field(default=10.0, ge=0.5, le=300)
    times: int = Field(default=1, ge=1, le=MAX_QUESTIONS)


class Answers(Message):
    """Round trips with one node: asked, answered, and the mean of the answered in ms."""

    address: Address
    asked: Count
    answered: Count
    mean_ms: float | None = None


State = Literal["done", "failed", "undone", "refused", "expired", "interrupted"]


class CommandResult(Message):
    """How a command ended; body of kind `result`.

    done: carried out, and the effect seen · failed: a node did not take its change, the others were put
    back · undone: the effect was not seen, and all was put back · refused: nothing was done, for the reason
    in `detail` · expired: likewise, it came too late by this gateway's clock · interrupted: this gateway
    ended in the middle, and what was changed was put back as far as nodes answered.
    `acting` is the gateway that acts, where another does; "" when it is not known.
    """

    v: Literal[1] = SCHEMA_VERSION
    id: Id
    kind: str = Field(max_length=32)
    state: State
    detail: str = Field(default="", max_length=512)
    seconds: float = Field(default=0.0, ge=0, le=LONGEST_LIFE_S * 10, allow_inf_nan=False)
    acting: str = Field(default="", max_length=64)
    answers: list[Answers] = Field(default_factory=list, max_length=MAX_NODES)


def check(command: Command) -> Command:
    """Return a command that holds together. Raises Rejected: INVALID or OUT_OF_RANGE."""
    if not 0 < command.expires - command.issued <= LONGEST_LIFE_S:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"a command lives up to {LONGEST_LIFE_S:g} s")
    if command.kind == "configure":
        if not command.steps:
            raise Rejected(RejectReason.INVALID, "configure: no steps")
        if not all(step.change() for step in command.steps):
            raise Rejected(RejectReason.INVALID, "configure: a step changes nothing")
    elif not command.nodes:
        raise Rejected(RejectReason.INVALID, "probe: no nodes")
    return command


def _transmit(timing: list[int] | None) -> Transmit | None:
    return None if timing is None else Transmit(timing[0], timing[1])


def _timing(transmit: Transmit | None) -> list[int] | None:
    return None if transmit is None else [transmit.count, transmit.interval_ms]
