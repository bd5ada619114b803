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
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: "plug in a Bluetooth adapter; see `bluetoothctl list`",
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: "use an adapter with Bluetooth Low Energy",
    BleakBluetoothNotAvailableReason.POWERED_OFF: "bluetoothctl power on",
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: "allow Bluetooth",
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: "put the user into the group bluetooth",
}


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
        raise Unavailable(f"{doing}: {error}") from error
    except TimeoutError as error:
        raise TimedOut(f"{doing}: no answer") from error
    except (OSError, EOFError) as error:
        raise Unavailable(f"{doing}: {error or type(error).__name__}") from error
    except AssertionError as error:
        # bleak asserts that its connection to the bus is there; it may have just gone.
        raise Unavailable(f"{doing}: the connection to bluetoothd has just ended") from error


def _not_available(doing: str, error: BleakBluetoothNotAvailableError) -> MeshtwinError:
    fix = _FIXES.get(error.reason)
    text = f"{doing}: {error.args[0]}"
    return Unavailable(text) if fix is None else Misconfigured(text, fix)
