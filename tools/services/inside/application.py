"""Be on the system bus as a mesh application is, for a minute, and print the name there."""

import asyncio

from dbus_fast import BusType
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, method


class Application(ServiceInterface):
    """As little of org.bluez.mesh.Application1 as shows that a call has come through."""

    def __init__(self) -> None:
        super().__init__("org.bluez.mesh.Application1")

    @method()
    def JoinComplete(self, token: "t") -> None:  # type: ignore[name-defined]  # noqa: F821, N802
        pass


async def main() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.export("/meshtwin", Application())
    print(bus.unique_name, flush=True)
    await asyncio.sleep(60)


asyncio.run(main())
