"""What the machine, the clock and people's edits may do to agent and coordinator, one test for each fault."""
