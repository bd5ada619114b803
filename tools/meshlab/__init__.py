"""Real `bluetooth-meshd` nodes over a software air: a mesh network on one machine, without a radio.

`lab.Lab` starts it, `client.LabClient` reaches a running one, `python -m tools.meshlab` does both from a
shell. `commission` makes a configured network of the daemons. For tests, demonstrations and benchmarks; no
part of the product imports it.
"""
