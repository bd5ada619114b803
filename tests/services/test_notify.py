"""What is said to a service manager, byte for byte, and that it can do no harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.notify import MAX_STATUS, Notifier, from_environment
from tests.services.manager import Manager


@pytest.mark.parametrize("abstract", [False, True])
def test_states_and_lines_reach_the_manager(tmp_path: Path, abstract: bool) -> None:
    address = f"@meshtwin-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with Manager(address) as manager:
        notifier = from_environment(dict(manager.environment))
        notifier.ready("here")
        notifier.alive()
        notifier.status("two\nlines")
        notifier.stopping()
        told = [manager.receive(5.0) for _ in range(4)]
    assert told == ["READY=1\nSTATUS=here", "WATCHDOG=1", "STATUS=two lines", "STOPPING=1"]
    assert notifier.lost == 0


def test_a_line_cannot_pose_as_another_state_nor_grow_without_bounds(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        Notifier(manager.address).status("x\nREADY=1\r" + "y" * 10_000)
        message = manager.receive(5.0)
    assert message is not None
    assert message.count("\n") == 0
    assert len(message) <= MAX_STATUS + len("STATUS=")


def test_children_do_not_inherit_the_managers_ear() -> None:
    environment = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "3000000", "PATH": "/bin"}
    assert from_environment(environment).watchdog_s == 3.0
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, None),
        ({"WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "vsock:1:2", "WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
    ],
)
def test_only_a_watchdog_meant_for_this_process_counts(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    assert from_environment(environment).watchdog_s == watchdog_s


def test_a_manager_that_does_not_listen_is_counted_and_else_ignored(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready()
    notifier.alive()
    assert notifier.lost == 2
    Notifier().ready("no manager at all")


def test_a_full_socket_delays_nobody(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        notifier = Notifier(manager.address)
        for _ in range(10_000):
            notifier.alive()
            if notifier.lost:
                break
    assert notifier.lost == 1
