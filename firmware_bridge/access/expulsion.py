"""The one message that no policy may send: Config Node Reset (Mesh Protocol 1.1, section 4.3.2.53).

A node that is sent it under its device key leaves its network for good. It is in a module of its own, and in
no catalogue, so that whoever can send it has to name this module; a test and an import contract hold the
list of those who do. Only the operator's command to remove a node may be on it.
"""

from __future__ import annotations

from firmware_bridge.access.record import Question


class NodeReset(Question):
    """Leave the network and forget its keys (4.3.2.53). Answered by `config_state.NodeResetStatus`."""

    OPCODE = 0x8049
