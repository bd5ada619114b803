"""Models that travel from the coordinator to gateways: what goes in and out, and their bundles."""
