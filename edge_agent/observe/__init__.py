"""What the agent sees: the mesh, its own machine and the uplink."""
