"""The lab's air as a bearer: its datagrams, repeated and paced, and an air that goes and comes."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from common.errors import Misconfigured, Rejected, Unavailable
from common.mesh.configuration import Transmit
from firmware_bridge.bearers.air import WAITING, AirBearer, AirPlace
from firmware_bridge.bearers.bearer import AdvertisingBearer, BearerDown, BearerUp, PduReceived
from firmware_bridge.stack.proxy import PduType
from tools.meshlab import poll

NETWORK_PDU = bytes(range(20))


class Air:
    """Node 3's end of an air."""

    def __init__(self, folder: Path) -> None:
        self.place = AirPlace(folder, 3)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(self.place.theirs))

    def heard(self) -> list[bytes]:
        """What the node sent since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(64))
            except BlockingIOError:
                return found

    def tell(self, datagram: bytes) -> None:
        """Send to the node."""
        self.socket.sendto(datagram, str(self.place.ours))


@pytest.fixture
def air() -> Iterator[Air]:
    with tempfile.TemporaryDirectory(prefix="air-") as name, _closing(Air(Path(name))) as air:
        yield air


@contextmanager
def _closing(air: Air) -> Iterator[Air]:
    try:
        yield air
    finally:
        air.socket.close()


@asynccontextmanager
async def opened(air: Air, transmit: Transmit = Transmit(1, 10)) -> AsyncIterator[AirBearer]:  # noqa: B008 - frozen
    """An open bearer that is up."""
    bearer = AirBearer(air.place, transmit)
    await bearer.open()
    try:
        assert isinstance(await anext(bearer.events()), BearerUp)
        yield bearer
    finally:
        await bearer.close()


async def collected(air: Air, count: int) -> list[bytes]:
    """The next `count` datagrams."""
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(air.heard())
        return len(found) >= count

    async with asyncio.timeout(5.0):
        await poll.until(enough)
    return found


@pytest.mark.parametrize(
    ("kind", "ad_type"), [(PduType.PROVISIONING, 0x29), (PduType.NETWORK, 0x2A), (PduType.BEACON, 0x2B)]
)
async def test_each_kind_of_pdu_has_its_ad_type_both_ways(air: Air, kind: PduType, ad_type: int) -> None:
    async with opened(air) as bearer:
        await bearer.send(kind, NETWORK_PDU)
        assert await collected(air, 1) == [bytes((ad_type,)) + NETWORK_PDU]
        air.tell(bytes((21, ad_type)) + NETWORK_PDU)
        assert await anext(bearer.events()) == PduReceived(kind, NETWORK_PDU)


async def test_it_repeats_as_network_transmit_says_and_a_probe_as_it_says_itself(air: Air) -> None:
    async with opened(air, Transmit(3, 10)) as bearer:
        assert isinstance(bearer, AdvertisingBearer)
        await bearer.send(PduType.NETWORK, b"usual")
        await bearer.send(PduType.NETWORK, b"probe", Transmit(5, 10))
        await bearer.send(PduType.BEACON, b"beacon")
        found = await collected(air, 9)
        assert [found.count(kind + text) for kind, text in ((b"\x2a", b"usual"), (b"\x2a", b"probe"))] == [
            3,
            5,
        ]
        assert found.count(b"\x2bbeacon") == 1
        await asyncio.sleep(0.03)
        assert not air.heard()


async def test_noise_and_the_airs_own_questions_are_passed_over(air: Air) -> None:
    async with opened(air) as bearer:
        for datagram in (b"\0", b"", b"\x05\x2a\x01", b"\x03\x2a\x01", b"\x02\x7f\x01", bytes(60)):
            air.tell(datagram)
        air.tell(b"\x02\x2a\x01")
        assert await anext(bearer.events()) == PduReceived(PduType.NETWORK, b"\x01")


async def test_what_no_advertisement_carries_is_refused(air: Air) -> None:
    async with opened(air) as bearer:
        for kind, data in (
            (PduType.NETWORK, bytes(30)),
            (PduType.NETWORK, b""),
            (PduType.CONFIGURATION, b"1"),
        ):
            with pytest.raises(Rejected):
                await bearer.send(kind, data)


async def test_who_sends_more_than_the_radio_does_waits(air: Air) -> None:
    async with opened(air, Transmit(8, 320)) as bearer:
        for _ in range(WAITING):
            await bearer.send(PduType.NETWORK, NETWORK_PDU)
        one_more = asyncio.ensure_future(bearer.send(PduType.NETWORK, NETWORK_PDU))
        await asyncio.sleep(0)
        assert not one_more.done()
        one_more.cancel()
        await asyncio.gather(one_more, return_exceptions=True)


async def test_an_air_that_goes_is_told_and_found_again(air: Air) -> None:
    async with opened(air) as bearer:
        waiting = [asyncio.ensure_future(bearer.send(PduType.NETWORK, b"1")) for _ in range(WAITING + 1)]
        await asyncio.gather(*waiting[:WAITING])
        air.place.theirs.rename(air.place.folder / "away")
        assert isinstance(await anext(bearer.events()), BearerDown)
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(Unavailable):
            await bearer.send(PduType.NETWORK, b"2")
        (air.place.folder / "away").rename(air.place.theirs)
        assert isinstance(await anext(bearer.events()), BearerUp)
        await bearer.send(PduType.NETWORK, b"3")


async def test_without_an_air_it_cannot_open(tmp_path: Path) -> None:
    bearer = AirBearer(AirPlace(tmp_path / "nowhere", 0))
    with pytest.raises(Misconfigured):
        await bearer.open()
    await bearer.close()


async def test_it_closes_twice_opens_again_and_takes_the_place_of_one_that_was_killed(air: Air) -> None:
    async with opened(air) as bearer:
        await bearer.close()
        await bearer.close()
        assert [event async for event in bearer.events()] == []
        await bearer.open()
        assert isinstance(await anext(bearer.events()), BearerUp)
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(air.place.ours))
    left.close()
    async with opened(air) as bearer:
        await bearer.send(PduType.NETWORK, NETWORK_PDU)
