"""A job followed at the terminal: its steps are shown, and what it asks is asked there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from common.errors import Rejected, RejectReason
from edge_agent.client import ask
from edge_agent.nodes.job import FOLLOW_S

AGENT_S: Final = 5.0
"""How long the agent may take for an answer of its own."""


def followed(socket: Path, job: int, as_json: bool) -> dict[str, Any]:
    """Show the steps of a job, ask what it asks, and return its last step. Raises as `client.ask` does, and
    Rejected where there is nobody to ask."""
    seen = 0
    while True:
        told = ask(socket, "nodes-follow", FOLLOW_S + AGENT_S, job=job, seen=seen)
        for step in told["steps"]:
            seen += 1
            _show(step, as_json)
            if step["step"] == "question":
                _answered(step["text"], lambda value: ask(socket, "nodes-answer", job=job, value=value))
        if told["over"]:
            last: dict[str, Any] = told["steps"][-1]
            return last


def _answered(text: str, tell: Callable[[str], Any]) -> None:
    print(f"{text} ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise Rejected(RejectReason.INVALID, "the device wants a value, and there is nobody to ask")
    tell(line.strip())


_WORDS: Final = {
    "connecting": "connecting over {bearer} …",
    "authenticating": "authenticating: {method}, {algorithm} …",
    "show": "{text}",
    "kept": "its key is kept, its address is {node} …",
    "joined": "{node} is a node now; setting it up …",
    "composition": "it has {elements} elements …",
    "configured": "set up",
}


def _show(step: dict[str, Any], as_json: bool) -> None:
    words = _WORDS.get(step["step"])
    # What somebody has to enter on the device is shown in any case.
    if words is not None and (not as_json or step["step"] == "show"):
        print(words.format(**step), file=sys.stderr, flush=True)
