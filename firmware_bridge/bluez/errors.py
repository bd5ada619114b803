"""The one place where errors of D-Bus and of `bluetooth-meshd` become ours (BlueZ's mesh-api.txt)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dbus_fast import AuthError, InvalidAddressError
from dbus_fast.errors import DBusError

from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from firmware_bridge.foundation.sender import Silent

_BUS_FIX = "is the message bus running, and may this user use it?"


class NotKnown(Rejected):
    """The daemon has no such node, key or publication."""

    def __init__(self, detail: str) -> None:
        super().__init__(RejectReason.INVALID, detail)


class InUse(Unavailable):
    """The daemon has this node already: attached by someone else, or imported before."""


def from_reply(name: str, detail: str) -> MeshtwinError:
    """Our error for a D-Bus error reply."""
    text = f"{name.rpartition('.')[2]}: {detail}"
    match name:
        case "org.bluez.mesh.Error.NotFound" | "org.bluez.mesh.Error.DoesNotExist":
            return NotKnown(text)
        case "org.bluez.mesh.Error.InvalidArgs" | "org.bluez.mesh.Error.NotImplemented":
            return Rejected(RejectReason.INVALID, text)
        case "org.bluez.mesh.Error.AlreadyExists":
            return InUse(text)
        case "org.bluez.mesh.Error.NotAuthorized" | "org.freedesktop.DBus.Error.AccessDenied":
            return Misconfigured(
                f"bluetooth-meshd refuses this user: {text}", "allow the user in bluetooth-mesh.conf of D-Bus"
            )
    # Failed, Busy, ServiceUnknown, NoReply, UnknownObject while the daemon starts: all may pass.
    return Unavailable(text)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what dbus-fast and the socket raise into Unavailable or Misconfigured."""
    try:
        yield
    except InvalidAddressError as error:
        raise Misconfigured(f"the D-Bus address is wrong: {error}", "mend bus_address") from error
    except AuthError as error:
        raise Misconfigured(f"the message bus refuses us: {error}", _BUS_FIX) from error
    except DBusError as error:
        raise from_reply(str(error.type), error.text) from error
    except TimeoutError as error:
        raise Silent("bluetooth-meshd does not answer on D-Bus") from error
    except (OSError, EOFError) as error:
        raise Unavailable(f"the message bus cannot be reached: {error or type(error).__name__}") from error
