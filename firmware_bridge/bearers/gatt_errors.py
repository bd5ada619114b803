"""The one place where errors of bleak become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError
from dbus_fast import AuthError, InvalidAddressError
from dbus_fast.errors import DBusError

from common.errors import MeshtwinError, Misconfigured, TimedOut, Unavailable

_FIXES: Final = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: (
        "apt-get install bluez; systemctl start bluetooth; plug in an adapter; see `bluetoothctl list`"
    ),
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: "use an adapter with Bluetooth Low Energy",
    BleakBluetoothNotAvailableReason.POWERED_OFF: "bluetoothctl power on",
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: "allow Bluetooth",
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: "put the user into the group bluetooth",
}

_NO_BUS: Final = "apt-get install bluez dbus; systemctl start dbus bluetooth"
_NO_BLUETOOTHD: Final = "apt-get install bluez; systemctl start bluetooth"
_NOT_RUNNING: Final = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what bleak and the libraries below it raise into Unavailable, TimedOut or Misconfigured.

    `doing` says, for people, what was tried.
    """
    try:
        yield
    except BleakBluetoothNotAvailableError as error:
        raise _not_available(doing, error) from error
    except (AuthError, InvalidAddressError) as error:
        raise Misconfigured(
            f"{doing}: {error}", "may this user use the system's message bus, and is its address right?"
        ) from error
    except (BleakError, DBusError) as error:
        raise Unavailable(f"{doing}: {_explained(error)}") from error
    except TimeoutError as error:
        raise TimedOut(f"{doing}: no answer") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        # Not Misconfigured: at boot, the bus may come after us.
        raise Unavailable(f"{doing}: there is no message bus (D-Bus)\n  fix: {_NO_BUS}") from error
    except (OSError, EOFError) as error:
        raise Unavailable(f"{doing}: {error or type(error).__name__}") from error
    except AssertionError as error:
        # bleak asserts that its connection to the bus is there; it may have just gone.
        raise Unavailable(f"{doing}: the connection to bluetoothd has just ended") from error


def _explained(error: BleakError | DBusError) -> str:
    name = error.type if isinstance(error, DBusError) else getattr(error, "dbus_error", "")
    if name in _NOT_RUNNING:
        return f"bluetoothd does not run\n  fix: {_NO_BLUETOOTHD}"
    return str(error)


def _not_available(doing: str, error: BleakBluetoothNotAvailableError) -> MeshtwinError:
    fix = _FIXES.get(error.reason)
    text = f"{doing}: {error.args[0]}"
    return Unavailable(text) if fix is None else Misconfigured(text, fix)
