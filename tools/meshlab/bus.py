"""The lab's private D-Bus daemon: carries every mesh daemon and every client, and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.meshlab.child import Child

# The stock limits are for a desktop: 256 connections a user, 50,000 pending replies in all but only 128 a
# connection. One client talks to every node here, and a node's answer may wait for the mesh.
# Without a rule for other users only the lab's own user may connect (session buses do so by default).
_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
  <limit name="max_completed_connections">10000</limit>
  <limit name="max_incomplete_connections">2000</limit>
  <limit name="max_connections_per_user">10000</limit>
  <limit name="max_replies_per_connection">50000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_names_per_connection">5000</limit>
</busconfig>
"""


def address(sockets: Path) -> str:
    """The address of the bus whose socket is made in `sockets`."""
    return f"unix:path={sockets / 'bus'}"


def start(dbus_daemon: str, sockets: Path, environment: Mapping[str, str], log: Path) -> Child:
    """Start the bus. It can be used once it listens at `sockets`/bus."""
    configuration = sockets / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(path=sockets / "bus"))
    command = [dbus_daemon, f"--config-file={configuration}", "--nofork", "--nopidfile"]
    return Child("dbus-daemon", command, environment, log)
