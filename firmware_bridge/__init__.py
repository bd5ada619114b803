"""How meshtwin reaches mesh nodes: one interface (`link.MeshLink`), several implementations."""
