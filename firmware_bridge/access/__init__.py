"""Access messages of Bluetooth Mesh as frozen values that build and parse themselves. No I/O.

Config Node Reset is left out on purpose: nothing that a policy can reach is able to build it.
"""
