"""Which model runs where: the registry of trained models, their release, and what gateways are told."""
