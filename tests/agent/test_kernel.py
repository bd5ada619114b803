"""What is read of the kernel's files agrees with psutil, and files that say nothing read as nothing."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest

from edge_agent.observe.kernel import Busy, Kernel, disk_percent

MIB = 1 << 20
STAT = "cpu  100 5 50 800 40 3 2 0 7 0\ncpu0 50 2 25 400 20 1 1 0 3 0\n"
DISKS = (
    "   8       0 sda 10 0 2000 5 20 0 4000 9 0 5 14\n"
    "   8       1 sda1 10 0 2000 5 20 0 4000 9 0 5 14\n"
    "   7       0 loop0 10 0 9999 5 20 0 9999 9 0 5 14\n"
)
NETWORK = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo\n"
    "    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0\n"
    "  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n"
    "wlan0:11 1 0 0 0 0 0 0 22 2 0 0 0 0 0 0\n"
)


def machine(root: Path, **files: str) -> Kernel:
    """A machine whose kernel says just that; it has one real disk."""
    (root / "sys/block/sda/device").mkdir(parents=True)
    (root / "sys/block/loop0").mkdir()
    (root / "proc/net").mkdir(parents=True)
    for name, text in files.items():
        (root / "proc" / name.replace("__", "/")).write_text(text)
    return Kernel(root)


def test_this_machine_reads_as_psutil_reads_it(tmp_path: Path) -> None:
    kernel = Kernel()
    total, available = kernel.memory()
    theirs = psutil.virtual_memory()
    assert total == theirs.total
    assert available == pytest.approx(theirs.available, rel=0.2)
    assert kernel.own_memory() == pytest.approx(psutil.Process().memory_info().rss, abs=8 * MIB)
    assert disk_percent(tmp_path) == pytest.approx(psutil.disk_usage(str(tmp_path)).percent, abs=1.0)
    # Counters only grow: ours, read before and after, hold theirs between them.
    before, busy = kernel.network_bytes(), kernel.busy()
    nets = [net for name, net in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    after = kernel.network_bytes()
    assert before[0] <= sum(net.bytes_recv for net in nets) <= after[0]
    assert before[1] <= sum(net.bytes_sent for net in nets) <= after[1]
    assert 0 < busy.busy < busy.total


def test_real_disks_count_once_and_loopback_does_not(tmp_path: Path) -> None:
    kernel = machine(tmp_path, stat=STAT, diskstats=DISKS, net__dev=NETWORK)
    assert kernel.disk_bytes() == (2000 * 512, 4000 * 512)
    assert kernel.network_bytes() == (111, 222)
    # Idle and waiting for disks are not busy; what guests took is in user's time already.
    assert kernel.busy() == Busy(160, 1000)


def test_a_share_is_that_of_the_time_between_two_readings() -> None:
    assert Busy(130, 1200).percent_since(Busy(100, 1100)) == 30.0
    assert Busy(100, 1100).percent_since(Busy(100, 1100)) == 0.0


@pytest.mark.parametrize("text", ["", "cpu 1 2\n", "garbage\n", "\0\0"])
def test_a_kernel_that_says_nothing_reads_as_not_a_number(tmp_path: Path, text: str) -> None:
    silent = machine(tmp_path, stat=text, meminfo=text, diskstats=text, net__dev=text)
    readings = [*silent.busy(), *silent.memory(), *silent.disk_bytes(), *silent.network_bytes()]
    assert all(map(math.isnan, [*readings, silent.own_memory(), disk_percent(tmp_path / "gone")]))
