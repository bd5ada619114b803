"""What every part of meshtwin shares: contracts, codecs, the mesh's vocabulary and the pure policy."""

__version__ = "0.1.0"
"""Read from here by the package's metadata too: looking it up there takes a daemon most of a megabyte."""
