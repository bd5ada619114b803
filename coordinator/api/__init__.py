"""The coordinator's API, version 1: HTTP on a Unix socket that only its owner can open."""
