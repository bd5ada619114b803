"""What every part of meshtwin shares: contracts, codecs, the mesh's vocabulary and the pure policy."""
