"""How machines give each other tasks: offers, the blobs that go with them, and results. Used by agents and by
the coordinator, over whatever carries letters."""
