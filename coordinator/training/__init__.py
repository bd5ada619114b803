"""Training of models for gateways: from what was stored to bundles, and how good they are."""
