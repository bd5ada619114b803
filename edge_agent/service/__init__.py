"""The agent as a systemd service: what the manager is told, and what is installed for it."""
