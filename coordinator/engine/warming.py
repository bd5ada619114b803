"""`python -m coordinator.engine.warming`: have all compiled that workers would compile on their first job.

numba keeps it on disk, where NUMBA_CACHE_DIR says or beside the code, so that the next process loads it in a
second. Without this the first question waits for it: 15 s to a minute of a core. Safe to repeat.
"""

from __future__ import annotations

import sys
import time

from common import logs
from common.scenario import Flow, Node, Scenario


def warm() -> None:
    """Compile or load the simulator and the percolation, by putting them to the least of their uses."""
    from common.radio import compilation
    from coordinator.twin.percolation import Percolation
    from coordinator.twin.site_model import SiteModel
    from coordinator.twin.sweep import Setting, effects_of

    compilation.warm()
    nodes = [Node(address=i + 1, x=8.0 * i, relay=True) for i in range(3)]
    flows = [Flow(source=3, destination=1, period_s=10.0), Flow(source=1, destination=3, period_s=10.0)]
    model = SiteModel.of(Scenario(nodes=nodes, flows=flows, duration_s=10.0))
    effects_of(model, Setting(load=2.0), times=True, seed=1)
    percolation = Percolation(model)
    for inward in (True, False):
        percolation.arrivals(1, model.configuration, inward=inward)


def main() -> int:
    """Warm, and say how long it took."""
    logs.configure("info")
    begun = time.monotonic()
    warm()
    print(f"the simulator is compiled: {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
