"""From the broker into the repository: subscribe, understand, store, acknowledge.

PUBACK only says that the broker or this process has a message. What lets a gateway forget is the
acknowledgement on its `ack` topic, and that is sent after the transaction.
"""
