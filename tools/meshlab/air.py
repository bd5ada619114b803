"""The software air: carries the advertisements of N nodes to whoever hears them, as a process of its own.

    python -m tools.meshlab.air DIR --topology grid:4x3:0.1 --seed 7

Node n sends to DIR/air.n and receives at DIR/node.n, both Unix datagram sockets; any program may be node n,
not only `bluetooth-meshd`. A node sends [AD type][data]; it receives [length][AD type][data] with length =
1 + data. Commands come over DIR/air (see `air_control`). The process ends when its standard input does.

Everything a lab does passes through here, so a datagram's way is kept short: one wait, one receive, and one
send a listener.
"""

from __future__ import annotations

import argparse
import resource
import select
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tools.meshlab.air_control import AirControl
from tools.meshlab.medium import Medium
from tools.meshlab.topology import Topology


def serve(folder: Path, topology: Topology, seed: int, until: int) -> None:
    """Carry datagrams and answer commands until the file descriptor `until` reports its end."""
    readers: dict[int, Callable[[], None]] = {}
    with (
        select.epoll() as poll,
        closing(Medium(folder, topology, seed)) as medium,
        closing(AirControl(folder / "air", medium, poll, readers, time.process_time)),
    ):
        poll.register(until, select.EPOLLIN)
        for port in medium.ports:
            poll.register(port.fileno(), select.EPOLLIN)
            readers[port.fileno()] = port.carry
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == until:
                    return
                reader = readers.get(descriptor)
                if reader is not None:  # a connection may have closed in this very round
                    reader()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the sockets are made")
    parser.add_argument("--topology", required=True, help="a file, or a shape such as star:12, grid:4x3:0.1")
    parser.add_argument("--seed", type=int, default=1, help="of the losses")
    options = parser.parse_args()
    # Two descriptors a node: hundreds of nodes are more than the usual soft limit.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    serve(options.folder, Topology.parse(options.topology, 1), options.seed, sys.stdin.fileno())


if __name__ == "__main__":
    main()
