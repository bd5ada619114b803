"""What the gateway tells others and hears from them: the outbox, the broker connection, the peers."""
