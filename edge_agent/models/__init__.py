"""Models on the gateway: what is wanted, how it comes, what is kept, and how it fares."""
