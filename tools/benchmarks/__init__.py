"""Every figure that the project claims, measured by anyone who runs `tools/bench`."""
