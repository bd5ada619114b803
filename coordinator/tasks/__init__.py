"""The cloud tier: tasks of gateways, run by the coordinator's engine."""
