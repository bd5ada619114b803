"""Commands as a coordinator sends them, and the results as it reads them."""

from __future__ import annotations

from typing import Any

from common.clock import ManualClock
from common.codec import unpack
from common.commands import Command, CommandResult, NodeChange
from common.messages import Kind, decode, encode
from tests.healing.gateways import Gateway


def order(clock: ManualClock, number: int, *steps: NodeChange, life_s: float = 60.0, **more: Any) -> Command:
    """A configure command of these steps."""
    now = clock.wall()
    return Command(
        id=f"c-{number}", kind="configure", issued=now, expires=now + life_s, steps=list(steps), **more
    )


def probe(clock: ManualClock, number: int, nodes: list[int], times: int) -> Command:
    now = clock.wall()
    return Command(id=f"p-{number}", kind="probe", issued=now, expires=now + 60.0, nodes=nodes, times=times)


def send(gateway: Gateway, command: Command) -> None:
    """Over the wire's form, as the broker line hands it on."""
    value = unpack(encode(command))
    assert isinstance(value, dict)
    gateway.agent.commands.take(value)


def results(gateway: Gateway) -> list[CommandResult]:
    """What went into the durable stream."""
    return [decode(CommandResult, body) for kind, body in gateway.stream.entries if kind is Kind.RESULT]


async def last_result(gateway: Gateway, clock: ManualClock, command: Command) -> CommandResult:
    """The result of a command, as soon as it is told."""
    for _ in range(2000):
        found = [result for result in results(gateway) if result.id == command.id]
        if found:
            return found[-1]
        await clock.advance(0.05)
    raise AssertionError(f"{command.id} never ended: {results(gateway)}")
