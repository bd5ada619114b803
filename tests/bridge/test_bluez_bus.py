"""The connection to a message bus: errors are ours, ends are noticed. On a real dbus-daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import AuthError, InvalidAddressError, Message, Variant
from dbus_fast.errors import DBusError

from common.errors import MeshtwinError, Misconfigured, Rejected, Unavailable
from firmware_bridge.access import link_monitor
from firmware_bridge.bluez.application import ELEMENT, ROOT, Application, Composition
from firmware_bridge.bluez.bus import Bus, Reply
from firmware_bridge.bluez.errors import InUse, NotKnown, from_reply, translated
from firmware_bridge.foundation.sender import Silent

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>
<allow own="*"/><allow user="*"/></policy>
</busconfig>"""


class Broker:
    """A dbus-daemon of our own."""

    def __init__(self, address: str, process: asyncio.subprocess.Process) -> None:
        self.address = address
        self.process = process


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    socket, config = tmp_path / "bus", tmp_path / "bus.conf"
    config.write_text(_CONFIG.format(path=socket))
    process = await asyncio.create_subprocess_exec(
        "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", stderr=asyncio.subprocess.DEVNULL
    )
    address = f"unix:path={socket}"
    try:
        async with asyncio.timeout(20):
            await _answers(address)
        yield Broker(address, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(address: str) -> None:
    while True:
        try:
            async with Bus(address) as bus:
                await bus.names()
                return
        except Unavailable:
            await asyncio.sleep(0.01)


pytestmark = pytest.mark.meshlab


async def test_calls_reach_the_other_side_and_answers_come_back(broker: Broker) -> None:
    def echo(message: Message) -> Reply | None:
        return ("s", [message.body[0].upper()]) if message.member == "Echo" else None

    async with Bus(broker.address) as server, Bus(broker.address) as client:
        server.serve(echo)
        assert await client.call(server.own_name, "/x", "a.b", "Echo", "s", ["hello"]) == ["HELLO"]
        assert server.own_name in await client.names()
        with pytest.raises(MeshtwinError):
            await client.call(server.own_name, "/x", "a.b", "Other")


async def test_an_error_of_ours_in_a_handler_is_told_without_its_words(broker: Broker) -> None:
    def refuse(message: Message) -> Reply | None:
        if message.member == "Store":
            raise Misconfigured("the secret disk is full")
        return None

    async with Bus(broker.address) as server, Bus(broker.address) as client:
        server.serve(refuse)
        with pytest.raises(Unavailable) as error:
            await client.call(server.own_name, "/x", "a.b", "Store")
        assert "secret" not in str(error.value)


async def test_a_name_that_nobody_owns_is_unavailable(broker: Broker) -> None:
    async with Bus(broker.address) as bus:
        with pytest.raises(Unavailable):
            await bus.owner("org.bluez.mesh")
        with pytest.raises(Unavailable):
            await bus.call("org.bluez.mesh", "/org/bluez/mesh", "org.bluez.mesh.Network1", "Cancel")


async def test_who_leaves_the_bus_is_noticed(broker: Broker) -> None:
    async with Bus(broker.address) as watcher:
        async with Bus(broker.address) as leaving:
            vanished = await watcher.watch(leaving.own_name)
            assert not vanished.is_set()
        async with asyncio.timeout(20):
            await vanished.wait()


async def test_a_bus_that_ends_is_noticed_and_calls_are_unavailable(broker: Broker) -> None:
    async with Bus(broker.address) as bus:
        broker.process.kill()
        async with asyncio.timeout(20):
            await bus.closed.wait()
        with pytest.raises(Unavailable):
            await bus.names()


@pytest.mark.parametrize(
    ("address", "error"),
    [("unix:path=/nonexistent/bus", Unavailable), ("carrier-pigeon:x=1", Misconfigured)],
)
async def test_a_bus_that_is_not_there_is_told_apart_from_a_wrong_address(
    address: str, error: type[MeshtwinError]
) -> None:
    with pytest.raises(error):
        async with Bus(address):
            pass


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("org.bluez.mesh.Error.NotFound", NotKnown),
        ("org.bluez.mesh.Error.DoesNotExist", NotKnown),
        ("org.bluez.mesh.Error.InvalidArgs", Rejected),
        ("org.bluez.mesh.Error.AlreadyExists", InUse),
        ("org.bluez.mesh.Error.NotAuthorized", Misconfigured),
        ("org.bluez.mesh.Error.Failed", Unavailable),
        ("org.bluez.mesh.Error.Busy", Unavailable),
        ("org.freedesktop.DBus.Error.ServiceUnknown", Unavailable),
        ("org.freedesktop.DBus.Error.AccessDenied", Misconfigured),
        ("com.example.Whatever", Unavailable),
    ],
)
def test_error_replies_become_ours(name: str, kind: type[MeshtwinError]) -> None:
    assert type(from_reply(name, "why")) is kind


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (InvalidAddressError("x"), Misconfigured),
        (AuthError("x"), Misconfigured),
        (DBusError("org.bluez.mesh.Error.NotFound", "x"), NotKnown),
        (TimeoutError(), Silent),
        (EOFError(), Unavailable),
        (ConnectionRefusedError("x"), Unavailable),
    ],
)
def test_no_foreign_error_escapes(foreign: Exception, kind: type[MeshtwinError]) -> None:
    with pytest.raises(kind) as error, translated():
        raise foreign
    assert error.value.__cause__ is foreign


class Heard:
    """A receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.messages: list[tuple[int, int, int, bytes]] = []
        self.device_messages: list[tuple[int, bool, bytes]] = []

    def message_received(self, source: int, destination: int, key_index: int, payload: bytes) -> None:
        self.messages.append((source, destination, key_index, payload))

    def device_message_received(self, source: int, remote: bool, payload: bytes) -> None:
        self.device_messages.append((source, remote, payload))

    def model_configured(self) -> None:
        pass

    def joined(self, token: int) -> None:
        self.tokens.append(token)

    def join_failed(self, reason: str) -> None:
        pass


def _call(member: str, signature: str, *body: object, sender: str = ":1.7") -> Message:
    return Message(
        path=ELEMENT, interface="x.y", member=member, sender=sender, signature=signature, body=list(body)
    )


def test_the_daemon_is_heard_and_nobody_else() -> None:
    heard = Heard()
    composition = Composition(0x05F1, 1, (link_monitor.SERVER,))
    application = Application(composition, heard, heard)
    application.daemon = ":1.7"
    said = _call("MessageReceived", "qqvay", 0x0105, 0, Variant("q", 0xC100), b"\x82\x01")
    assert application.handle(said) == ("", [])
    assert heard.messages == [(0x0105, 0xC100, 0, b"\x82\x01")]
    forged = _call("MessageReceived", "qqvay", 0x0105, 0, Variant("q", 0xC100), b"\x82\x01", sender=":1.9")
    assert application.handle(forged) is None
    assert application.handle(_call("JoinComplete", "t", 5, sender=":1.9")) is None
    assert len(heard.messages) == 1
    assert heard.tokens == []


def test_a_virtual_destination_and_a_strange_call_do_no_harm() -> None:
    heard = Heard()
    application = Application(Composition(0x05F1, 1, ()), heard, heard)
    application.daemon = ":1.7"
    label = _call("MessageReceived", "qqvay", 0x0105, 0, Variant("ay", bytes(16)), b"\x82\x01")
    assert application.handle(label) == ("", [])
    assert heard.messages == []
    assert application.handle(_call("MessageReceived", "q", 1)) is None
    assert application.handle(_call("Unheard", "")) is None


def test_the_objects_say_what_the_node_is_made_of() -> None:
    heard = Heard()
    application = Application(Composition(0x05F1, 1, (link_monitor.SERVER,)), heard, heard)
    application.daemon = ":1.7"
    reply = application.handle(_call("GetManagedObjects", ""))
    assert reply is not None
    element = reply[1][0][ELEMENT]["org.bluez.mesh.Element1"]
    assert element["VendorModels"].value == [[0x05F1, 0x4D54, {}]]
    assert element["Models"].value == []
    assert all(path.startswith(ROOT) for path in reply[1][0])
