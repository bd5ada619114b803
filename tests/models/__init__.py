"""Models on the agent: their files, how they come, and how they are used."""
