"""What stands between the pure stack and a MeshLink: its state on disk, its bearer, its own element."""
