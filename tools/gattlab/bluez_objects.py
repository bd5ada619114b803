"""What bluetoothd shows on the bus: objects, their interfaces and properties, and signals of every change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from bumble.att import ATT_Error
from dbus_fast import Variant

OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"
SERVICE: Final = "org.bluez.GattService1"
CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"
DESCRIPTOR: Final = "org.bluez.GattDescriptor1"

Reply: TypeAlias = "tuple[str, list[Any]]"
Method: TypeAlias = "Callable[[str, list[Any]], Awaitable[Reply | None]]"
"""Called with the caller's unique name and the body; None is an empty reply."""

Emit: TypeAlias = "Callable[[str, str, str, str, list[Any]], None]"
"""Path, interface, member, signature and body of a signal."""

Properties: TypeAlias = "dict[str, Variant]"


class BluezError(Exception):
    """An error reply, `org.bluez.Error.<name>`."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(f"{name}: {text}")
        self.name = f"org.bluez.Error.{name}"
        self.text = text


def from_att(error: ATT_Error) -> BluezError:
    """As bluetoothd maps errors of the other side (create_gatt_dbus_error in src/gatt-client.c)."""
    match int(error.error_code):
        case 0x02:
            return BluezError("NotPermitted", "Read not permitted")
        case 0x03:
            return BluezError("NotPermitted", "Write not permitted")
        case 0x06:
            return BluezError("NotSupported", "Operation is not supported")
        case 0x0D:
            return BluezError("InvalidArguments", "Invalid Length")
        case code:
            return BluezError("Failed", f"Operation failed with ATT error: 0x{code:02x}")


class BusObject:
    """One object: its path, its interface with properties, and its methods."""

    def __init__(
        self, path: str, interface: str, properties: Properties, methods: Mapping[str, Method]
    ) -> None:
        self.path = path
        self.interface = interface
        self.properties = properties
        self.methods = methods


class ObjectTree:
    """All objects, by path. Changes are signalled by `emit`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._objects: dict[str, BusObject] = {}

    def find(self, path: str) -> BusObject | None:
        """The object at a path."""
        return self._objects.get(path)

    def add(self, added: BusObject) -> None:
        """Show an object, or replace the one at its path."""
        self._objects[added.path] = added
        body = [added.path, {added.interface: added.properties}]
        self._emit("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", body)

    def remove(self, path: str) -> None:
        """Take an object away, and those below it first."""
        for each in sorted((p for p in self._objects if p == path or p.startswith(f"{path}/")), reverse=True):
            gone = self._objects.pop(each)
            self._emit("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [each, [gone.interface]])

    def change(self, path: str, changed: Properties, invalidated: Iterable[str] = ()) -> None:
        """Set properties and drop others. Nothing happens if the object is gone."""
        changing = self._objects.get(path)
        if changing is None:
            return
        gone = [name for name in invalidated if changing.properties.pop(name, None) is not None]
        changing.properties.update(changed)
        if changed or gone:
            body = [changing.interface, changed, gone]
            self._emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def managed(self) -> dict[str, dict[str, Properties]]:
        """What GetManagedObjects answers."""
        return {path: {each.interface: each.properties} for path, each in self._objects.items()}
