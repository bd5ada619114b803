"""What the agent wants: the policy, fed with what was observed and inferred."""
