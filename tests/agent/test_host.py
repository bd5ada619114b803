"""The machine's own state: real readings here, a Pi's files from a folder."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.messages import Kind, decode_measurement
from edge_agent.observe.host import Host, HostObserver, power_model
from edge_agent.observe.uplink import UplinkMeter


def raspberry(root: Path) -> Path:
    files = {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/class/thermal/thermal_zone1/temp": "51000\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


async def test_a_reading_of_this_machine_makes_sense(tmp_path: Path, clock: ManualClock) -> None:
    host = Host(clock, tmp_path)
    first = host.read()
    assert math.isnan(first["net_rx_bps"])
    assert math.isnan(first["agent_cpu_percent"])
    await clock.advance(5.0)
    second = host.read()
    assert 0 <= second["cpu_percent"] <= 100
    assert 0 < second["memory_percent"] < 100
    assert second["net_rx_bps"] >= 0
    assert second["agent_cpu_percent"] >= 0
    assert 1 < second["agent_rss_mib"] < 10_000
    assert second["power_w"] > 0
    assert list(first) == list(second)


def test_a_pi_tells_its_heat_and_throttling(tmp_path: Path, clock: ManualClock) -> None:
    reading = Host(clock, tmp_path, root=raspberry(tmp_path)).read()
    assert reading["temperature_c"] == 51.0
    assert reading["throttled"] == 0x50005
    assert power_model(tmp_path).idle == 2.7


def test_what_a_machine_lacks_is_nan(tmp_path: Path, clock: ManualClock) -> None:
    reading = Host(clock, tmp_path / "gone", root=tmp_path).read()
    assert math.isnan(reading["temperature_c"])
    assert math.isnan(reading["throttled"])
    assert math.isnan(reading["disk_percent"])


@pytest.mark.parametrize("text", ["", "garbage", "999999999", "\0\0"])
def test_broken_sensors_are_nan(tmp_path: Path, clock: ManualClock, text: str) -> None:
    root = raspberry(tmp_path)
    for zone in ("thermal_zone0", "thermal_zone1"):
        (root / "sys/class/thermal" / zone / "temp").write_text(text)
    assert math.isnan(Host(clock, tmp_path, root=root).read()["temperature_c"])


async def test_readings_become_measurements(tmp_path: Path, clock: ManualClock) -> None:
    meter = UplinkMeter()
    meter.sent(1, 10, 0.0)
    meter.acknowledged(1, 0.25)
    taken: list[tuple[Kind, bytes]] = []

    def append(kind: Kind, body: bytes, time: float) -> int:
        assert time == clock.wall()
        taken.append((kind, body))
        return len(taken)

    observer = HostObserver(Host(clock, tmp_path, uplink=meter.metrics), clock, 5.0, append)
    async with asyncio.TaskGroup() as owner:
        running = owner.create_task(observer.run())
        await clock.advance(11.0)
        running.cancel()
    assert len(taken) == 3
    table = decode_measurement(*taken[-1])
    assert table["uplink_rtt_ms"][0] == 250.0
    assert table["uplink_loss"][0] == 0.0
    assert observer.last["uplink_rtt_ms"] == 250.0


def test_the_uplink_counts_what_a_broken_connection_took_along() -> None:
    meter = UplinkMeter()
    assert math.isnan(meter.metrics().loss)
    meter.connected(0.0)
    for mid in range(4):
        meter.sent(mid, 100, 1.0)
    meter.acknowledged(0, 1.5)
    meter.acknowledged(99, 1.5)
    assert (meter.outstanding, meter.outstanding_bytes) == (3, 300)
    assert meter.silent_for(4.5) == 3.0
    meter.disconnected()
    meter.connected(10.0)
    metrics = meter.metrics()
    assert (metrics.loss, metrics.rtt_ms, metrics.reconnects) == (0.75, 500.0, 1)
    assert meter.silent_for(100.0) == 0.0
