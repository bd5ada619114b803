"""What the coordinator keeps: every message of the durable streams, and what is derived from them on entry.

`store.Repository` is the way in. Nothing here knows of MQTT or HTTP.
"""
