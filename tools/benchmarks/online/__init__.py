"""Placement online: graphs that arrive, machines that fail, channels that fade, and who decides."""
