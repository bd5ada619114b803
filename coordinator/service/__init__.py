"""Broker and coordinator as systemd services: what the manager is told, and what is installed for them."""
