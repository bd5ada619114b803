"""`python -m coordinator.cli`, where the entry point is not installed."""

from coordinator.cli import main

main()
