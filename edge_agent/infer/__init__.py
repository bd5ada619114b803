"""What the agent expects: each link's next period."""
