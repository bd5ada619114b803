"""What the operator may ask of the mesh through a running agent: round trips, and relays switched by hand."""

from __future__ import annotations

from collections.abc import Callable

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.mesh.addresses import check_unicast, show
from common.mesh.addresses import parse as parse_address
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from edge_agent.observe.probe import Prober
from edge_agent.observe.site import SiteView
from firmware_bridge.link import MeshLink

LONGEST_PING_S = 10.0


class Operator:
    """Questions and orders by hand. Their values come from outside: anything may be in them."""

    def __init__(
        self, link: MeshLink, site: SiteView, prober: Prober, clock: Clock, announce: Callable[..., None]
    ) -> None:
        self._link = link
        self._site = site
        self._prober = prober
        self._clock = clock
        self._announce = announce

    async def ping(self, node: object, timeout: object) -> float:
        """Seconds of one round trip with a node given as `0x0105` or a number, for `edge-agent ping`.

        Raises Rejected (no such node, bad values), TimedOut or Unavailable.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise Rejected(RejectReason.INVALID, '"timeout_s" is a number of seconds')
        if not 0 < timeout <= LONGEST_PING_S:
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f'"timeout_s" lies above 0 and up to {LONGEST_PING_S:g} seconds'
            )
        return await self._prober.round_trip(self._known_node(node), timeout)

    async def set_relay(self, node: object, relay: object) -> NodeConfiguration:
        """Switch a node's relay feature as the operator wants it, for `edge-agent relay`.

        Raises Rejected, TimedOut, NotSupported or Unavailable. Should service suffer, the policy may well
        switch a relay on again.
        """
        if not isinstance(relay, bool):
            raise Rejected(RejectReason.INVALID, '"relay" is true or false')
        change = ConfigurationChange(relay=relay)
        configuration = await self._link.configure(self._known_node(node), change)
        self._site.observe_configuration(configuration, self._clock.monotonic())
        self._announce("operator-set-relay", node=show(configuration.address), relay=relay)
        return configuration

    def _known_node(self, node: object) -> int:
        if isinstance(node, bool) or not isinstance(node, (int, str)):
            raise Rejected(RejectReason.INVALID, '"node" is an address such as 0x0105')
        address = check_unicast(parse_address(str(node)))
        if address not in self._site.nodes:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"this site has no node {show(address)}")
        return address
