"""Whole provisionings over an air that loses packets, with every way of authentication."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from common.clock import ManualClock
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason, TimedOut, Unavailable
from firmware_bridge.provisioning import oob
from firmware_bridge.provisioning.adv_bearer import AdvBearer
from firmware_bridge.provisioning.bearer import Heard
from firmware_bridge.provisioning.pdus import (
    Algorithm,
    Capabilities,
    Choice,
    InputAction,
    Method,
    OutputAction,
)
from firmware_bridge.provisioning.provisioner import Provisioner
from firmware_bridge.provisioning.security import KeyPair, NetworkData
from firmware_bridge.provisioning.session import provision
from firmware_bridge.stack.proxy import PduType
from tests.provisioning.pair import NET_KEY, LossyAir, VirtualDevice

BOTH = 1 << Algorithm.CMAC_AES128 | 1 << Algorithm.HMAC_SHA256
STATIC = bytes(range(32))


class Person:
    """Answers like an operator who sees the device."""

    def __init__(self, device: VirtualDevice, method: Method | None = None, static: bool = False) -> None:
        self.kept: bytes | None = None
        self.chosen = Choice()
        self.mistakes: list[str] = []
        self._device = device
        self._method = method
        self._static = static

    async def choose(self, said: Capabilities) -> Choice:
        self.chosen = oob.choose(said, static=self._static, interactive=True, method=self._method)
        return self.chosen

    async def enter(self, choice: Choice) -> str:
        if self.mistakes:
            return self.mistakes.pop()
        return await self._device.shown.get()

    async def show(self, choice: Choice, value: str) -> None:
        self._device.typed.put_nowait(self.mistakes.pop() if self.mistakes else value)

    async def keep(self, device_key: bytes) -> NetworkData:
        self.kept = device_key
        return NetworkData(NET_KEY, 0, 7, 0x0123)


@asynccontextmanager
async def present(device: VirtualDevice) -> AsyncIterator[VirtualDevice]:
    running = asyncio.ensure_future(device.run())
    try:
        yield device
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def provisioned(
    clock: ManualClock, air: LossyAir, device: VirtualDevice, person: Person, static: bytes | None = None
) -> None:
    """Provision `device`, with the clock moved on; raises what the session raised."""
    randomness = Random(5).randbytes
    machine = Provisioner(KeyPair.generate(), randomness, static=static)

    async def session() -> None:
        async with AdvBearer(air, Random(2), lambda: device.uuid[0]).connect(device.uuid) as (link, wire):
            await provision(machine, link, wire, person, clock)

    running = asyncio.ensure_future(session())
    for _ in range(20_000):
        if running.done():
            break
        await clock.advance(0.01)
    await running


OUTPUTS = Capabilities(1, BOTH, output_size=6, output_actions=(1 << OutputAction.NUMBER) | 1)
TEXT = Capabilities(1, BOTH, output_size=8, output_actions=1 << OutputAction.TEXT)
BLINKS = Capabilities(1, output_size=1, output_actions=1 << OutputAction.BLINK)
INPUTS = Capabilities(1, BOTH, input_size=4, input_actions=1 << InputAction.NUMBER)
PUSHES = Capabilities(1, input_size=2, input_actions=1 << InputAction.PUSH)
TYPED = Capabilities(1, BOTH, oob_only=True, input_size=8, input_actions=1 << InputAction.TEXT)


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize(
    ("capabilities", "method"),
    [
        (Capabilities(1), Method.NONE),
        (Capabilities(3, BOTH), Method.NONE),
        (OUTPUTS, Method.OUTPUT),
        (TEXT, Method.OUTPUT),
        (BLINKS, Method.OUTPUT),
        (INPUTS, Method.INPUT),
        (PUSHES, Method.INPUT),
        (TYPED, Method.INPUT),
    ],
)
async def test_a_device_becomes_a_node(capabilities: Capabilities, method: Method, loss: float) -> None:
    clock, air = ManualClock(), LossyAir(loss)
    async with present(VirtualDevice(air, clock, capabilities)) as device:
        person = Person(device)
        await provisioned(clock, air, device, person)
        assert device.joined is not None
        assert device.joined.device_key == person.kept
        assert device.joined.data == NetworkData(NET_KEY, 0, 7, 0x0123)
        assert person.chosen.method is method
        strong = capabilities.can(Algorithm.HMAC_SHA256)
        assert person.chosen.algorithm is (Algorithm.HMAC_SHA256 if strong else Algorithm.CMAC_AES128)


@pytest.mark.parametrize("algorithms", [1, BOTH])
@pytest.mark.parametrize("value", [STATIC, STATIC[:16], b"\x07"])
async def test_a_static_value_authenticates(algorithms: int, value: bytes) -> None:
    clock, air = ManualClock(), LossyAir()
    capabilities = Capabilities(1, algorithms, static_oob=True, oob_only=True)
    async with present(VirtualDevice(air, clock, capabilities, static=value)) as device:
        await provisioned(clock, air, device, Person(device, static=True), value)
        assert device.joined is not None


async def refused(device: VirtualDevice, clock: ManualClock, air: LossyAir, person: Person) -> MeshtwinError:
    with pytest.raises(MeshtwinError) as caught:
        await provisioned(clock, air, device, person, STATIC)
    assert device.joined is None
    assert person.kept is None
    return caught.value


async def test_a_wrong_static_value_is_refused_by_the_device() -> None:
    clock, air = ManualClock(), LossyAir()
    capabilities = Capabilities(1, BOTH, static_oob=True)
    async with present(VirtualDevice(air, clock, capabilities, static=bytes(32))) as device:
        error = await refused(device, clock, air, Person(device, static=True))
        assert isinstance(error, Rejected)
        assert error.reason is RejectReason.REFUSED_BY_NODE
        assert "confirmation failed" in str(error)


async def test_wrong_values_are_answered_by_growing_pauses() -> None:
    clock, air = ManualClock(), LossyAir()
    async with present(VirtualDevice(air, clock, OUTPUTS)) as device:
        for _ in range(3):
            person = Person(device)
            person.mistakes = ["999"]
            await refused(device, clock, air, person)
        error = await refused(device, clock, air, Person(device))
        assert "out of resources" in str(error)


async def test_a_slip_that_cannot_be_the_value_may_be_corrected() -> None:
    clock, air = ManualClock(), LossyAir()
    async with present(VirtualDevice(air, clock, OUTPUTS)) as device:
        person = Person(device)
        person.mistakes = ["12 34", "letters"]
        await provisioned(clock, air, device, person)
        assert device.joined is not None


async def test_a_device_that_can_do_less_than_is_asked_is_not_taken_on_weaker_terms() -> None:
    clock, air = ManualClock(), LossyAir()
    async with present(VirtualDevice(air, clock, Capabilities(1))) as device:
        error = await refused(device, clock, air, Person(device, static=True))
        assert isinstance(error, NotSupported)
        assert "static value" in str(error)


async def test_nobody_there_is_said_within_a_minute() -> None:
    clock, air = ManualClock(), LossyAir()
    device = VirtualDevice(air, clock, Capabilities(1))
    assert isinstance(await refused(device, clock, air, Person(device)), Unavailable)
    assert clock.monotonic() < 62


async def test_a_device_that_falls_silent_is_given_up() -> None:
    clock, air = ManualClock(), LossyAir()
    async with present(VirtualDevice(air, clock, INPUTS)) as device:
        person = Person(device)

        async def never(choice: Choice, value: str) -> None:
            air.loss = 1.0

        person.show = never  # type: ignore[method-assign]
        error = await refused(device, clock, air, person)
        assert isinstance(error, (Unavailable, TimedOut))


async def test_two_devices_are_provisioned_side_by_side() -> None:
    clock, air = ManualClock(), LossyAir(0.1)
    one, other = (VirtualDevice(air, clock, Capabilities(1), seed=seed) for seed in (1, 2))
    async with present(one), present(other):
        await asyncio.gather(*(provisioned(clock, air, device, Person(device)) for device in (one, other)))
        assert one.joined is not None
        assert other.joined is not None


async def test_a_scan_tells_of_waiting_devices() -> None:
    clock, air = ManualClock(), LossyAir()
    async with present(VirtualDevice(air, clock, Capabilities(1))) as device:
        heard: list[Heard] = []
        bearer = AdvBearer(air)
        scan = asyncio.ensure_future(bearer.scan(heard.append))
        await asyncio.sleep(0)
        await air.send(PduType.BEACON, b"\x00short")
        await clock.advance(0.3)
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)
        assert (heard[0].device.uuid, heard[0].rssi_dbm) == (device.uuid, -60)
        assert heard[0].device.places() == ("on the device",)
        assert bearer.refused == 1
