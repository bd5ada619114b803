"""Our mesh stack among real nodes: `bluetooth-meshd` daemons on the lab's air, reached through bleak.

Nothing between our stack and the daemons knows meshtwin's messages: what is checked here, BlueZ agrees with.
"""
