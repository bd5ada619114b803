"""Questions and optimisations put to a site's twin, each a YAML file; their plans; and applying these."""
