"""A simulated site behind a MeshLink: lossy links that drift, nodes that die, floods that may not arrive.

`site` and what it uses is a pure state machine whose time is told to it; `link` puts it on a clock.
The model is packets on links, without collisions and queues: the radio kernel knows those.
"""

from firmware_bridge.virtual.generator import virtual_site
from firmware_bridge.virtual.link import VirtualLink
from firmware_bridge.virtual.site import VirtualSite

__all__ = ["VirtualLink", "VirtualSite", "virtual_site"]
