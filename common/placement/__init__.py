"""Placement: which machine runs which task of a graph, and when, so that it costs least.

    plan = schedule(Instance.parse(document), loads=Loads(dead=frozenset({"mec1"})))

Pure: no I/O, no asyncio. Used by agents, the coordinator and the twin. Nothing is run here.
"""

from common.placement.errors import BadInstance, Flaw, Unplaceable
from common.placement.instance import Edge, Instance, Node, Task
from common.placement.loads import Loads
from common.placement.placing import Budget, schedule
from common.placement.timetable import Assignment, Schedule, Transfer

__all__ = [
    "Assignment",
    "BadInstance",
    "Budget",
    "Edge",
    "Flaw",
    "Instance",
    "Loads",
    "Node",
    "Schedule",
    "Task",
    "Transfer",
    "Unplaceable",
    "schedule",
]
