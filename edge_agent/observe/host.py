"""How the gateway's own machine is doing: load, memory, heat, disk, network, and an estimate of its power.

What a machine does not have reads as NaN. One reading costs well under a millisecond, so it may run on the
event loop; nothing here ever starts a program.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.clock import Clock
from common.codec import Table
from common.messages import Kind, encode_measurement
from edge_agent.observe.kernel import Kernel, disk_percent
from edge_agent.observe.uplink import UplinkMetrics

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PowerModel:
    """Watts of a machine class: `idle`, and what one fully busy CPU adds.

    The estimate is idle + per_cpu x busy CPUs, as in the linear models that measure within about ten percent
    on boards without radios under load. Figures are typical measurements at the supply.
    """

    idle: float
    per_cpu: float


_POWER: Final = (
    ("Raspberry Pi 5", PowerModel(2.7, 1.4)),
    ("Raspberry Pi 4", PowerModel(2.7, 0.9)),
    ("Raspberry Pi 3", PowerModel(1.5, 0.6)),
    ("Raspberry Pi Zero 2", PowerModel(0.7, 0.35)),
    ("Raspberry Pi Zero", PowerModel(0.5, 0.5)),
)
_GENERIC_ARM: Final = PowerModel(2.0, 0.8)
_GENERIC_PC: Final = PowerModel(8.0, 4.0)

# Bits of the firmware's throttling word, lowest first, that mean "now": under-voltage, frequency capped,
# throttled, soft temperature limit. The high half repeats them as "since boot".
THROTTLED_NOW: Final = 0x000F


class Host:
    """Reads the machine. `root` is where its file system is mounted; rates count between two readings."""

    def __init__(
        self,
        clock: Clock,
        state_dir: Path,
        root: Path = Path("/"),
        uplink: Callable[[], UplinkMetrics] | None = None,
    ) -> None:
        self._clock = clock
        self._disk = state_dir
        self._uplink = uplink
        self._cpus = os.cpu_count() or 1
        self._kernel = Kernel(root)
        self._power = power_model(root)
        self._zones = _thermal_zones(root)
        self._throttled = _throttled_file(root)
        self._last: dict[str, float] = {}
        self._last_at = math.nan
        self._busy = self._kernel.busy()

    def read(self) -> dict[str, float]:
        """Every metric now, by column name."""
        total, available = self._kernel.memory()
        before, self._busy = self._busy, self._kernel.busy()
        cpu = self._busy.percent_since(before)
        return {
            "cpu_percent": cpu,
            "load1": os.getloadavg()[0],
            "memory_percent": 100.0 * (total - available) / total,
            "memory_available_mib": available / MIB,
            "temperature_c": self._temperature(),
            "throttled": self._throttling(),
            "disk_percent": disk_percent(self._disk),
            "power_w": self._power.idle + self._power.per_cpu * self._cpus * cpu / 100,
            "agent_rss_mib": self._kernel.own_memory() / MIB,
            **self._rates(),
            **self._uplink_metrics(),
        }

    def table(self) -> Table:
        """One row of a HOST measurement."""
        return table_of(self._clock.wall(), self.read())

    def _rates(self) -> dict[str, float]:
        """Growth per second since the last reading; NaN in the first, and after a counter wrapped."""
        now, counters = self._clock.monotonic(), self._counters()
        seconds = now - self._last_at
        rates = {
            name: (count - self._last.get(name, math.nan)) / seconds if seconds > 0 else math.nan
            for name, count in counters.items()
        }
        self._last, self._last_at = counters, now
        return {name: rate if rate >= 0 else math.nan for name, rate in rates.items()}

    def _counters(self) -> dict[str, float]:
        """What only grows. A hundred times the CPU seconds, so that their rate is in per cent of one CPU."""
        disk_read, disk_written = self._kernel.disk_bytes()
        received, sent = self._kernel.network_bytes()
        own = os.times()
        return {
            "agent_cpu_percent": 100.0 * (own.user + own.system),
            "disk_read_bps": disk_read,
            "disk_write_bps": disk_written,
            "net_rx_bps": received,
            "net_tx_bps": sent,
        }

    def _uplink_metrics(self) -> dict[str, float]:
        if self._uplink is None:
            return {}
        metrics = self._uplink()
        return {
            "uplink_rtt_ms": metrics.rtt_ms,
            "uplink_loss": metrics.loss,
            "uplink_reconnects": float(metrics.reconnects),
        }

    def _temperature(self) -> float:
        """The hottest thermal zone, in degrees Celsius."""
        readings = [_number(zone, 10) / 1000 for zone in self._zones]
        return max((degrees for degrees in readings if -50 < degrees < 200), default=math.nan)

    def _throttling(self) -> float:
        """The firmware's throttling word; see THROTTLED_NOW."""
        return _number(self._throttled, 16) if self._throttled is not None else math.nan


class HostObserver:
    """Puts a reading into the durable stream every period. Run `run()` in the supervisor."""

    def __init__(
        self, host: Host, clock: Clock, period_s: float, append: Callable[[Kind, bytes, float], int]
    ) -> None:
        self._host = host
        self._clock = clock
        self._period = period_s
        self._append = append
        self.last: dict[str, float] = {}

    async def run(self) -> None:
        """Read and append until cancelled."""
        while True:
            self.last = self._host.read()
            wall = self._clock.wall()
            self._append(Kind.HOST, encode_measurement(Kind.HOST, table_of(wall, self.last)), wall)
            await self._clock.sleep(self._period)


def table_of(wall: float, reading: dict[str, float]) -> Table:
    """A reading as one row of a HOST measurement."""
    return {"t": array("d", [wall]), **{name: array("f", [value]) for name, value in reading.items()}}


def power_model(root: Path = Path("/")) -> PowerModel:
    """The power model of this machine's class, by the name in its device tree."""
    try:
        name = (root / "proc/device-tree/model").read_text(errors="replace")
    except OSError:
        return _GENERIC_PC
    return next((model for known, model in _POWER if name.startswith(known)), _GENERIC_ARM)


def _thermal_zones(root: Path) -> list[Path]:
    return sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))


def _throttled_file(root: Path) -> Path | None:
    """Where a Raspberry Pi's kernel shows its firmware's throttling word."""
    path = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    return path if path.exists() else None


def _number(path: Path, base: int) -> float:
    try:
        return float(int(path.read_text().strip(), base))
    except (OSError, ValueError):
        return math.nan
