"""Adding a node: provisioning it, with the operator asked where the device wants that, and making it ready.

The node's key is in the site file before the device gets its network: a crash never leaves a node whose key
nobody knows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason, TimedOut, Unavailable
from common.mesh.addresses import show
from common.mesh.cdb_document import NewNode, SiteDocument
from edge_agent.nodes import readying
from edge_agent.nodes.job import Job
from edge_agent.nodes.request import Addition
from edge_agent.nodes.store import SiteStore
from firmware_bridge.provisioning import oob
from firmware_bridge.provisioning.administration import Administration, NetworkState
from firmware_bridge.provisioning.oob import Randomness
from firmware_bridge.provisioning.pdus import (
    Capabilities,
    Choice,
    InputAction,
    Method,
    OutputAction,
)
from firmware_bridge.provisioning.provisioner import Provisioner
from firmware_bridge.provisioning.security import KeyPair, NetworkData
from firmware_bridge.provisioning.session import provision

ATTENTION_S: Final = 5
"""How long a device blinks or beeps when it is invited, so that people see which one it is."""

_KEY_REFRESH_SWITCHED: Final = 2
_DOES: Final = {
    OutputAction.BLINK: "blinks",
    OutputAction.BEEP: "beeps",
    OutputAction.VIBRATE: "vibrates",
}
_ENTERED: Final = {InputAction.PUSH: "push its button", InputAction.TWIST: "twist its knob"}


class Newcomer:
    """Adds one node. See `session.Dialogue`; `refresh` makes the agent take the changed site file over."""

    def __init__(
        self,
        wanted: Addition,
        administration: Administration,
        store: SiteStore,
        refresh: Callable[[], Awaitable[None]],
        job: Job,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._wanted = wanted
        self._administration = administration
        self._store = store
        self._refresh = refresh
        self._job = job
        self._clock = clock
        self._randomness = randomness
        self._elements = 1
        self._authenticated = False
        self._address: int | None = None

    async def add(self) -> int:
        """Add the node; its address.

        Raises NotSupported (no way to provision here, or not as asked), Unavailable, TimedOut, Rejected,
        Misconfigured (no address left).
        """
        document = self._store.read()
        if (known := _half_added(document, self._wanted.uuid)) is not None:
            await self._make_ready(known)
            return known
        self._network()
        # A site file that cannot be written is told before anybody walks to the device.
        self._store.write(document)
        try:
            await self._provision()
        except Rejected as error:
            # The device said that it did not join, or never got that far.
            if self._address is not None and error.reason is RejectReason.REFUSED_BY_NODE:
                self._store.write(self._store.read().without_newcomer(self._address, self._clock.wall()))
                await self._refresh()
            raise
        except MeshtwinError as error:
            if self._address is None:
                raise
            raise in_doubt(error, self._address) from error
        assert self._address is not None
        self._job.tell("joined", node=show(self._address))
        await self._make_ready(self._address)
        return self._address

    async def _provision(self) -> None:
        problem: MeshtwinError = NotSupported("this link leads to no unprovisioned devices")
        for bearer in self._administration.bearers:
            machine = Provisioner(
                KeyPair.generate(), self._randomness, static=self._wanted.static, attention_s=ATTENTION_S
            )
            self._job.tell("connecting", bearer=bearer.name)
            try:
                async with bearer.connect(self._wanted.uuid) as (link, wire):
                    await provision(machine, link, wire, self, self._clock)
                return
            except Unavailable as error:
                if self._address is not None:
                    raise
                problem = error
        raise problem

    async def _make_ready(self, address: int) -> None:
        client = self._administration.client
        composition = await readying.composition_of(client, address)
        said = readying.described(composition)
        self._change(address, said)
        self._job.tell("composition", elements=len(composition.elements))
        plan = readying.plan_for(self._store.read().site, composition, self._wanted.relay)
        await readying.make_ready(client, address, plan)
        self._change(address, readying.configured(said, plan))
        await self._refresh()
        self._job.tell("configured", node=show(address))

    def _change(self, address: int, fields: dict[str, object]) -> None:
        self._store.write(self._store.read().with_node_fields(address, fields, self._clock.wall()))

    def _network(self) -> NetworkState:
        if (state := self._administration.network()) is None:
            raise NotSupported(
                "this link does not tell the network's IV index, which a new node needs; it is known once a"
                " beacon of the network was heard"
            )
        return state

    # What the device makes us ask, see `session.Dialogue`.

    async def choose(self, said: Capabilities) -> Choice:
        self._elements = said.elements
        choice = oob.choose(
            said, static=self._wanted.static is not None, interactive=True, method=self._wanted.method
        )
        self._authenticated = choice.method is not Method.NONE
        self._job.tell("authenticating", method=choice.method.name.lower(), algorithm=choice.algorithm.name)
        return choice

    async def enter(self, choice: Choice) -> str:
        does = _DOES.get(OutputAction(choice.action))
        text = "which value does the device show?"
        if does is not None:
            text = f"how often does the device {does[:-1]}?"
        return await self._job.ask(text=text, size=choice.size)

    async def show(self, choice: Choice, value: str) -> None:
        how = _ENTERED.get(InputAction(choice.action))
        text = f"enter {value} on the device" if how is None else f"{how} {value} times"
        self._job.tell("show", text=text, value=value)

    async def keep(self, device_key: bytes) -> NetworkData:
        document, network = self._store.read(), self._network()
        subnet = document.site.net_keys[0]
        address = document.free_address(self._elements, network.iv_index, self._wanted.provisioner)
        node = NewNode(
            self._wanted.uuid,
            address,
            device_key,
            self._elements,
            subnet.index,
            self._authenticated,
            self._wanted.name,
        )
        self._store.write(document.with_node(node, self._clock.wall()))
        self._address = address
        await self._refresh()
        self._job.tell("kept", node=show(address))
        switched = subnet.phase == _KEY_REFRESH_SWITCHED
        return NetworkData(
            subnet.key.reveal(), subnet.index, network.iv_index, address, switched, network.iv_update
        )


def in_doubt(error: MeshtwinError, address: int) -> MeshtwinError:
    """An error after which nobody knows whether the device joined; its key is kept."""
    told = (
        f"{error}\n  the device may be node {show(address)} by now, and its key is kept"
        "\n  fix: add it again, which sets it up if it joined; if it did not,"
        f" edge-agent nodes remove --forget {show(address)}, and add it once more"
    )
    return TimedOut(told) if isinstance(error, TimedOut) else Unavailable(told)


def _half_added(document: SiteDocument, uuid: bytes) -> int | None:
    """The address of a device that was provisioned, or nearly, and never set up; None for a new one.

    Raises Rejected for one that is a node already: it was reset by hand, and its entry is stale.
    """
    for node in document.site.live_nodes():
        if node.uuid.replace("-", "").lower() != uuid.hex():
            continue
        if not node.config_complete:
            return node.unicast_address
        known = show(node.unicast_address)
        raise Rejected(
            RejectReason.INVALID,
            f"the device is node {known} of this site already\n  fix: was it reset by hand? then"
            f" edge-agent nodes remove --forget {known}",
        )
    return None
