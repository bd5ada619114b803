"""bleak without a radio: its own BlueZ backend against a small `org.bluez` on a private bus.

The radio below that service is Bumble's virtual controller. On the other side of it are virtual mesh nodes
with the Mesh Proxy Service (`proxy_node`): a test or a second stack feeds them, or they forward to the air of
the meshlab (`air_proxy`), so that our stack meets real `bluetooth-meshd` nodes. `lab.GattLab` starts it. For
tests, demonstrations and benchmarks; no part of the product imports it.
"""
