"""The agent on a gateway: observe, infer, decide, act, and share beside them."""
