"""The contract of whoever runs single tasks, see `common.taskgraph.executor`."""

from common.taskgraph.executor import Executor, Load, MachineLost, Refusal, Refused, Tier

__all__ = ["Executor", "Load", "MachineLost", "Refusal", "Refused", "Tier"]
