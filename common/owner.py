"""Root's commands on a service's folder: done as the account that owns the folder.

`sudo coordinator gateways enrol …` or `sudo edge-agent nodes import …` would otherwise leave files behind
that the service cannot read.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from common.errors import Misconfigured


def become_owner(state: Path) -> None:
    """When this process is root's and the folder `state` somebody else's, become that account for good.

    Raises Misconfigured when the owner has no account.
    """
    try:
        owner = state.stat().st_uid
    except OSError:
        # Not there yet, or unreadable: whoever uses it says so better.
        return
    if os.geteuid() != 0 or owner == 0:
        return
    try:
        account = pwd.getpwuid(owner)
    except KeyError as error:
        raise Misconfigured(
            f"{state} belongs to user {owner}, who has no account here", f"chown -R root {state}"
        ) from error
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
