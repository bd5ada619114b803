"""A simulated site behind a MeshLink: lossy links that drift, nodes that die, floods that may not arrive.

`site` and what it uses is a pure state machine whose time is told to it; `link` puts it on a clock. What
becomes of packets on the air is the event simulator's (`common.radio`).
"""

from firmware_bridge.virtual.generator import virtual_site
from firmware_bridge.virtual.link import VirtualLink
from firmware_bridge.virtual.site import SiteFailed, VirtualSite

__all__ = ["SiteFailed", "VirtualLink", "VirtualSite", "virtual_site"]
