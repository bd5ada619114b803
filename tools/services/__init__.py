"""The systemd units on a real Debian 12, booted in a container: what the test suite cannot play."""
