"""The node side of a lab's mesh: `firmware_bridge.node_app` for all lamps, in one process of its own.

    python -m tools.meshlab.nodes LAB_FOLDER --site-file F --state-dir D --gateways 2

A restart message restarts the lamp's daemon in the lab. The process ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from common import logs
from common.mesh import cdb
from firmware_bridge import node_app
from firmware_bridge.bluez.attachment import DaemonPlace
from tools.meshlab.child import Child
from tools.meshlab.client import LabClient
from tools.meshlab.sitefile import SitePlan

_ROOT: Final = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def running(
    lab: LabClient, site_file: Path, plan: SitePlan, state: Path, seed: int = 1
) -> AsyncIterator[Child]:
    """Run the lamps of `plan` while the context lasts; its log is nodes.log in the lab's folder.

    It returns before every lamp is attached: `commission` asks until they answer.
    """
    command = [sys.executable, "-m", "tools.meshlab.nodes", str(lab.folder), "--site-file", str(site_file)]
    command += ["--state-dir", str(state), "--gateways", str(plan.gateways), "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    child = Child("nodes", command, environment, lab.folder / "nodes.log", keep_stdin=True)
    try:
        yield child
    finally:
        await child.stop()


def places(lab: LabClient, plan: SitePlan) -> Mapping[int, DaemonPlace]:
    """Where the daemon of each lamp is now, by unicast address."""
    address = lab.bus_address
    return {
        plan.address_of(index): DaemonPlace(address, lab.daemon_pid(index)) for index in plan.lamp_indices
    }


async def _run(options: argparse.Namespace) -> None:
    lab = LabClient.attach(options.lab)
    plan = SitePlan(len(cdb.read(options.site_file).nodes), options.gateways)

    async def restart(address: int) -> None:
        await lab.restart(plan.index_of(address))

    running = asyncio.current_task()
    assert running is not None
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def end() -> None:
        # Once: a pipe that was closed stays readable, and would cancel the clean-up again and again.
        loop.remove_reader(stdin)
        running.cancel()

    loop.add_reader(stdin, end)
    settings = node_app.Settings(options.site_file, options.state_dir, places(lab, plan))
    try:
        await node_app.run(settings, seed=options.seed, restart_hook=restart)
    except asyncio.CancelledError:
        pass  # told to end


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lab", type=Path, metavar="LAB_FOLDER")
    parser.add_argument("--site-file", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True, help="where the daemons' tokens are kept")
    parser.add_argument("--gateways", type=int, required=True, help="how many nodes, the first, are not ours")
    parser.add_argument("--seed", type=int, help="for repeatable jitter")
    logs.configure()
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
