"""Access messages of Bluetooth Mesh as frozen values that build and parse themselves. No I/O.

`catalogue` finds the message in bytes. Config Node Reset is in no catalogue but alone in `expulsion`: nothing
that a policy can reach is able to build it.
"""
