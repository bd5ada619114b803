"""HTTPS for gateways: the bundles of models, and the renewal of their certificates."""
