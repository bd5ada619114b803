"""Task graphs: the document that people submit, its checks, and what machines tell each other of one task."""
