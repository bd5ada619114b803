"""`python -m tools.reference`: docs/configuration.md, written from the configuration classes themselves."""
