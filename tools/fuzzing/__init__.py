"""Inputs nobody sends in good faith: fuzz targets for every parser, and a hostile member of the network."""
