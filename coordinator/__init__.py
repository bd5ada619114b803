"""The central side: broker, ingest, repository, API and command line."""
