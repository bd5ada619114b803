"""The objects that an application shows to `bluetooth-meshd`, and the calls that the daemon makes on them.

Served from one handler instead of dbus-fast's service classes: cheaper per message, and typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from dbus_fast import Message, Variant

from firmware_bridge.access.fields import ModelId
from firmware_bridge.bluez.bus import Reply

ROOT: Final = "/org/meshtwin"
ELEMENT: Final = f"{ROOT}/element0"
_APPLICATION: Final = f"{ROOT}/application"
_AGENT: Final = f"{ROOT}/agent"
_EMPTY: Final[Reply] = ("", [])

# How many sources the daemon keeps for replay protection; its own limit is far above.
_REPLAY_SOURCES: Final = 2000


class Receiver(Protocol):
    """Who handles what the daemon passes on. Called from the event loop; must not block or raise."""

    def message_received(self, source: int, destination: int, key_index: int, payload: bytes) -> None:
        """An access message under an application key, to us or to a group that a model listens to."""

    def device_message_received(self, source: int, remote: bool, payload: bytes) -> None:
        """A message under a device key: `remote` when it is the source's key, not ours."""

    def model_configured(self) -> None:
        """A Config client changed a model of ours: its keys, subscriptions or publication."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What the node is made of: one element with these models. The Config server is the daemon's."""

    company: int
    product: int
    models: tuple[ModelId, ...]


class Joining(Protocol):
    """Who waits for the outcome of an import."""

    def joined(self, token: int) -> None:
        """Keep the token. Called before the daemon is told that we have it: a crash in between leaves no
        node that nobody can attach to. An error of ours makes the daemon drop the node again."""

    def join_failed(self, reason: str) -> None:
        """The daemon refuses the node."""


class Application:
    """One node's objects."""

    def __init__(self, composition: Composition, receiver: Receiver, joining: Joining) -> None:
        self._composition = composition
        self._receiver = receiver
        self._joining = joining
        # Only this bus name may call; set when the daemon was found.
        self.daemon: str | None = None

    def handle(self, message: Message) -> Reply | None:
        """Answer a call to one of our objects; None for everything else."""
        if message.sender != self.daemon:
            return None
        match (message.member, message.body):
            case ("GetManagedObjects", []):
                return "a{oa{sa{sv}}}", [self._objects()]
            case ("MessageReceived", [source, key_index, destination, payload]):
                if isinstance(destination.value, int):
                    self._receiver.message_received(source, destination.value, key_index, bytes(payload))
                return _EMPTY
            case ("DevKeyMessageReceived", [source, remote, _, payload]):
                self._receiver.device_message_received(source, remote, bytes(payload))
                return _EMPTY
            case ("UpdateModelConfiguration", [_, _]):
                self._receiver.model_configured()
                return _EMPTY
            case ("JoinComplete", [token]):
                self._joining.joined(token)
                return _EMPTY
            case ("JoinFailed", [reason]):
                self._joining.join_failed(str(reason))
                return _EMPTY
        return None

    def _objects(self) -> dict[str, dict[str, dict[str, Variant]]]:
        composition = self._composition
        application = {
            "CompanyID": Variant("q", composition.company),
            "ProductID": Variant("q", composition.product),
            "VersionID": Variant("q", 1),
            "CRPL": Variant("q", _REPLAY_SOURCES),
        }
        return {
            # Provisioner1 makes the daemon offer Management1, which keeps other nodes' device keys.
            _APPLICATION: {"org.bluez.mesh.Application1": application, "org.bluez.mesh.Provisioner1": {}},
            _AGENT: {"org.bluez.mesh.ProvisionAgent1": {"Capabilities": Variant("as", [])}},
            ELEMENT: {"org.bluez.mesh.Element1": self._element()},
        }

    def _element(self) -> dict[str, Variant]:
        no_options: dict[str, Any] = {}
        sig = [[m.model, no_options] for m in self._composition.models if m.company is None]
        vendor = [[m.company, m.model, no_options] for m in self._composition.models if m.company is not None]
        return {
            "Index": Variant("y", 0),
            "Location": Variant("q", 0),
            "Models": Variant("a(qa{sv})", sig),
            "VendorModels": Variant("a(qqa{sv})", vendor),
        }
