"""Placement: which machine runs which task of a graph, and when, so that it costs least.

    plan = schedule(Instance.parse(document), loads=Loads(dead=frozenset({"mec1"})))

Pure: no I/O, no asyncio. Used by agents, the coordinator and the twin. Nothing is run here.
"""

from common.placement.cpop import cpop
from common.placement.errors import BadInstance, Flaw, Unplaceable
from common.placement.explaining import Alternative, explain
from common.placement.instance import Edge, Instance, Node, Task
from common.placement.listing import heft, heft_j, peft
from common.placement.loads import Loads
from common.placement.placing import Budget, schedule
from common.placement.replanning import Progress, Running, remaining, replan
from common.placement.static_cases import CASES, best_static, static_case
from common.placement.timetable import Assignment, Schedule, Transfer

__all__ = [
    "Alternative",
    "Assignment",
    "BadInstance",
    "Budget",
    "CASES",
    "Edge",
    "Flaw",
    "Instance",
    "Loads",
    "Node",
    "Progress",
    "Running",
    "Schedule",
    "Task",
    "Transfer",
    "Unplaceable",
    "best_static",
    "cpop",
    "explain",
    "heft",
    "heft_j",
    "peft",
    "remaining",
    "replan",
    "schedule",
    "static_case",
]
