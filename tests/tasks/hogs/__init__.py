"""A package of kinds that misbehave, as an installed package would bring them: the entry points are beside,
in `hogs-1.0.dist-info` below the folder that `PYTHONPATH` names."""
