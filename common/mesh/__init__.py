"""The mesh's vocabulary: addresses, configuration, the site file and the site graph."""
