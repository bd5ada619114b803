"""The digital twin of a site: what it believes, what would change if, and how sure it is."""
